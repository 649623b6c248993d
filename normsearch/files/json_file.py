"""Reads JSON files of bounded size and nesting; every fault is one typed error."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from normsearch.errors import ConfigError, NormsearchError, one_line
from normsearch.files.text_file import read_text

MOST = 16 * 2**20
"""The largest size of a JSON file, in bytes."""
DEEPEST = 40
"""The deepest nesting of lists and objects."""

_LIMIT = 2**63


def read_json(
    path: Path, fault: type[NormsearchError] = ConfigError, *, finite: bool = True
) -> Any:
    """Return the value in a JSON file.

    Args:
        path: the file.
        fault: the type of the errors.
        finite: whether to refuse NaN and Infinity.

    Raises:
        NormsearchError: of the type `fault`, if the file cannot be read, is larger than `MOST`, is
            not valid JSON, nests deeper than `DEEPEST`, or holds a key twice in one object or an
            integer beyond 64 bits.
    """
    text = read_text(path, MOST, fault)
    try:
        return parse_json(text, finite=finite)
    except ValueError as error:
        reason = one_line(error)
        raise fault(f"{path}: must be valid JSON, got '{reason}'; save it again.") from error


def read_object(path: Path, fault: type[NormsearchError] = ConfigError) -> dict[str, Any]:
    """Return the object in a JSON file; see `read_json`.

    Raises:
        NormsearchError: of the type `fault`, also if the file holds another kind of value.
    """
    raw = read_json(path, fault)
    if not isinstance(raw, dict):
        raise fault(f"{path}: must be a mapping of keys, got {type(raw).__name__}.")
    return raw


def parse_json(text: str, *, finite: bool = True) -> Any:
    """Return the value of a JSON text.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}

    Raises:
        ValueError: the text is not valid JSON, or `read_json` would refuse it.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_each_once,
            parse_int=_whole,
            parse_float=_real if finite else None,
            parse_constant=_no_number if finite else None,
        )
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    if re.search(r"\\u[dD][89a-fA-F]", text):  # half of a surrogate pair: cannot be encoded
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key '{twice}' twice in one object")
    return found


def _whole(text: str) -> int:
    number = int(text) if len(text) < 30 else _LIMIT
    if not -_LIMIT <= number < _LIMIT:
        raise ValueError(f"{text[:30]}, which does not fit into 64 bits")
    return number


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:30]}, which is no finite number")
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text}, which is no finite number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"more than {DEEPEST} levels of nesting")
