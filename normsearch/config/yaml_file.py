"""Reader of the subset of YAML that settings need: mappings, lists and plain values.

Files, ``--set`` and recorded studies are read in the same way. Duplicate keys, anchors and aliases,
tags, numbers that are not finite or need more than 64 bits, and nesting deeper than `DEEPEST` are
errors. A date, ``1:30`` and ``007`` are texts. Keys are always texts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml
from yaml import events
from yaml.resolver import Resolver

from normsearch.errors import ConfigError, one_line
from normsearch.files.text_file import read_text

MOST = 2**20
"""Largest size of a YAML file, in bytes."""
DEEPEST = 40
"""Largest number of nested lists and mappings."""

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = Resolver()
_LIMIT = 2**63


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Raises:
        ConfigError: there is no such file, it is larger than `MOST`, is not valid YAML, or holds no
            mapping.
    """
    text = read_text(path, MOST)
    try:
        raw = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: must be valid YAML or JSON: {error}.") from error
    if raw is None:
        raise ConfigError(f"{path}: must be a mapping of keys, and the file is empty.")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of keys, got {type(raw).__name__}.")
    return raw


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, None if it is empty.

    >>> parse_yaml("{a: 1, b: [2.5, off, 007]}")
    {'a': 1, 'b': [2.5, False, '007']}

    Raises:
        ValueError: it is not in this subset of YAML; the message gives the line.
    """
    tree = _Tree()
    try:
        text.encode()  # a lone surrogate, as of an argument that is not in UTF-8
        for event in yaml.parse(text, Loader=_PARSER):
            tree.add(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(place + one_line(error.problem or error.context or error)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(one_line(error)) from None
    return tree.value


class _Tree:
    """Builds a value from a stream of YAML events, without recursion."""

    def __init__(self) -> None:
        self.value: Any = None
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []  # the key without a value yet, of each open mapping
        self._documents = 0

    def add(self, event: events.Event) -> None:
        """Add the next event.

        Raises:
            ValueError: it is not in this subset of YAML.
        """
        if isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _refused(event, "there must be one document, without a further ---")
        elif isinstance(event, events.NodeEvent):
            self._add_node(event)
        elif isinstance(event, events.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()

    def _add_node(self, event: events.NodeEvent) -> None:
        if isinstance(event, events.AliasEvent) or event.anchor is not None:
            raise _refused(event, f"there must be no & and no *, got {event.anchor}; write it out")
        if getattr(event, "tag", None) is not None:
            raise _refused(event, f"there must be no tag, got {event.tag}")  # type: ignore[attr-defined]
        if isinstance(event, events.ScalarEvent):
            self._place(event, event.value if self._wants_key() else _scalar(event))
            return
        if self._wants_key():
            raise _refused(event, "a key must be a plain text, got a list or a mapping")
        if len(self._open) >= DEEPEST:
            raise _refused(event, f"there must be at most {DEEPEST} levels of nesting")
        found: dict[str, Any] | list[Any] = (
            {} if isinstance(event, events.MappingStartEvent) else []
        )
        self._place(event, found)
        self._open.append(found)
        self._keys.append(None)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], dict) and self._keys[-1] is None

    def _place(self, event: events.Event, value: Any) -> None:
        if not self._open:
            self.value = value
            return
        holder = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
        elif self._keys[-1] is None:
            if value in holder:
                raise _refused(event, f"the key {value} is given twice")
            self._keys[-1] = value
        else:
            holder[self._keys[-1]] = value
            self._keys[-1] = None


def _scalar(event: events.ScalarEvent) -> object:
    text = event.value
    if not event.implicit[0]:
        return text  # in quotes, or a block
    kind = str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False))).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind == "int":
        return _whole(event, text)
    return _real(event, text) if kind == "float" else text


def _whole(event: events.Event, text: str) -> int | str:
    try:
        number = int(text.replace("_", ""), 0) if len(text) < 100 else _LIMIT
    except ValueError:
        return text  # 010 and 1:30, which YAML 1.1 reads as 8 and 90
    if not -_LIMIT <= number < _LIMIT:
        raise _refused(event, f"a whole number must fit into 64 bits, got {text[:30]}")
    return number


def _real(event: events.Event, text: str) -> float | str:
    if text.lower().lstrip("+-") in (".inf", ".nan"):
        number = math.nan
    else:
        try:
            number = float(text.replace("_", ""))
        except ValueError:
            return text
    if not math.isfinite(number):
        raise _refused(event, f"a number must be finite, got {text[:30]}")
    return number


def _refused(event: events.Event, reason: str) -> ValueError:
    line = event.start_mark.line + 1 if event.start_mark else "?"
    return ValueError(one_line(f"line {line}: {reason}"))
