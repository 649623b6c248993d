"""Damage to files: of bytes, of lines of text, of a tree of values. Equal seeds, equal damage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Mutation = Callable[[bytearray, np.random.Generator], bytearray]

NUMBERS = [b"0", b"-1", b"1", b"3", b"65536", b"2147483648", b"1000000000000000", b"1e400", b"nan"]
NUMBERS += [b"9" * 5000, b"0.5", b"x", b""]


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(len(data))]


def insert(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = int(rng.integers(len(data) + 1))
    return data[:place] + rng.bytes(int(rng.integers(1, 20))) + data[place:]


def delete(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = int(rng.integers(len(data)))
    return data[:place] + data[place + int(rng.integers(1, 20)) :]


def edit_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Replace a number in the text of the first 400 bytes."""
    found = list(re.finditer(rb"[-0-9.]+", bytes(data[:400])))
    if not found:
        return flip(data, rng)
    match = found[rng.integers(len(found))]
    return data[: match.start()] + NUMBERS[rng.integers(len(NUMBERS))] + data[match.end() :]


def edit_field(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Overwrite two or four bytes among the first 352 by an extreme value."""
    values = [np.int16(-1), np.int16(2**15 - 1), np.int32(2**31 - 1), np.float32("nan")]
    values += [np.float32("inf"), np.float32(-1e30), np.int16(0), np.int32(1)]
    new = values[rng.integers(len(values))].tobytes()  # type: ignore[attr-defined]
    place = int(rng.integers(min(352, len(data)) // 2)) * 2
    data[place : place + len(new)] = new
    return data


#: Of any file.
BYTES: list[Mutation] = [flip, truncate, insert, delete, edit_number, edit_field]

#: What a value of a tree may become.
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 5, 0.5, -1.5, 1e300, -1e300, 1e-320, 2**31, 2**63, -(2**70)),
    *(10**400, float("nan"), float("inf"), 65536, "", " ", "0", "NA", "null", "001", "1e3", "nan"),
    *("\0", "a\nb", "\x1b[2J", "\ud800", "\u202e", "\U0001f600", "../x", "/abs", "~nosuch/x"),
    *("C:\\Users", '"""', "x" * 300, "a/" * 3000, "=1+1", "[/red]", "GN-0", "GN-9", "os.sep"),
    *([], {}, [[]], [None], ["a", "a"], {"": ""}, {"a": 1}, [0] * 1000, {"x": {"y": [{}]}}),
]
#: What stands for more than it says, or for nothing, in YAML, JSON and tables.
SNIPPETS = [
    *(
        "&a ",
        "*a",
        "!!timestamp x",
        '!!int ""',
        "!!float x",
        "!!python/name:os.system ",
        "{[a]: 1}",
    ),
    *("? [a]\n: 1\n", "[" * 3000, "{a: " * 500, '{"a":' * 500, "\t", "\0", "\n---\n", "<<: 1\n"),
    *("%YAML 9\n", "\ufeff", "NaN", "-Infinity", "1e999", "9" * 5000, "0x", "1:30", "2020-13-45"),
    *(".inf", '"', "'", '""', ",", ";", "|", "#", "\r", "\\u0000", '"\\ud800"', "\\", "nan", "-"),
    *("// c\n", ",,,,,", "id", "fold", "case", "\x85", "\u2028", "\udcff", "a=b\n"),
]


def snippet(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Put a snippet somewhere, in place of nothing or of a word."""
    text = data.decode(errors="replace")
    words = list(re.finditer(r"[^\s,:;\"{}\[\]]+", text))
    new = SNIPPETS[rng.integers(len(SNIPPETS))]
    if words and rng.random() < 0.7:
        word = words[rng.integers(len(words))]
        text = text[: word.start()] + new + text[word.end() :]
    else:
        place = int(rng.integers(len(text) + 1))
        text = text[:place] + new + text[place:]
    return bytearray(text.encode(errors="surrogateescape"))


def lines(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Repeat, drop, move, indent or cut a line."""
    found = data.split(b"\n")
    one = int(rng.integers(len(found)))
    kind = int(rng.integers(6))
    if kind == 0:
        found.insert(int(rng.integers(len(found) + 1)), found[one])
    elif kind == 1:
        del found[one]
    elif kind == 2:
        found.insert(int(rng.integers(len(found))), found.pop(one))
    elif kind == 3:
        found[one] = bytearray(b" " * int(rng.integers(1, 5))) + found[one]
    elif kind == 4:
        found[one] = found[one][: int(rng.integers(len(found[one]) + 1))]
    else:
        found[one] = found[one].replace(b" ", b"")
    return bytearray(b"\n".join(found))


#: Of a text.
TEXTS: list[Mutation] = [flip, truncate, insert, delete, snippet, snippet, lines]


def tree(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Change one to three values, keys or items of JSON (which is YAML, too)."""
    return bytearray(json.dumps(changed(json.loads(data), rng)).encode())


def changed(value: Any, rng: np.random.Generator) -> Any:
    """Return a tree with one to three changes."""
    for _ in range(int(rng.integers(1, 4))):
        value = _changed(value, rng)
    return value


def _changed(value: Any, rng: np.random.Generator) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.12:
        return VALUES[rng.integers(len(VALUES))]
    value = value.copy()
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, kind = keys[rng.integers(len(keys))], rng.random()
    if kind < 0.1:
        del value[key]
    elif kind < 0.15:
        value[key] = [value[key]]
    elif kind < 0.2:
        value[key] = {"x": value[key]}
    elif kind < 0.3 and isinstance(value, dict):
        value[str(VALUES[rng.integers(len(VALUES))])[:400]] = value.pop(key)
    elif kind < 0.35 and isinstance(value, list):
        value += value
    elif kind < 0.38:
        for _ in range(int(rng.choice([5, 60, 250]))):
            value[key] = [value[key]]
    else:
        value[key] = _changed(value[key], rng)
    return value


#: Of JSON.
TREES: list[Mutation] = [tree, tree, tree, tree, snippet, flip, truncate, lines, delete]


class Loader(NamedTuple):
    """A sound file, what reads it (and raises where what it read is wrong), and the damage."""

    file: Path
    read: Callable[[], object]
    mutations: list[Mutation]


def json_file(path: Path, value: object) -> Path:
    """Write a value as JSON; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path
