"""The reference of the YAML files, made from their models.

``python -m normsearch.config.reference > docs/reference.md``
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from normsearch.config import ArmsConfig, PythonSpaceConfig, SpaceConfig, StudyConfig

_HEAD = """\
# Reference of the YAML files

Every key of a study file, with its default and what it must be. A space may also stand in a file of
its own. Keys that a run records are listed too. This page is generated:
`python -m normsearch.config.reference > docs/reference.md`.
"""
_BOUNDS = {"gt": "above", "ge": "from", "lt": "below", "le": "up to"}
_TITLES: dict[type[BaseModel], str] = {
    SpaceConfig: "space",
    ArmsConfig: "space: fixed trainings",
    PythonSpaceConfig: "space: a Python function",
    StudyConfig: "A study file",
}


def reference() -> str:
    """Return the page, in Markdown."""
    return "\n".join([_HEAD, *(_section(model, title) for model, title in _models(StudyConfig))])


def _models(root: type[BaseModel]) -> list[tuple[type[BaseModel], str]]:
    """Return a model and those below it, each once, with titles such as ``task.phantom``."""
    found = {root: _TITLES[root]}
    waiting = [(root, "")]
    while waiting:
        model, place = waiting.pop(0)
        for name, field in model.model_fields.items():
            for below in _models_in(field.annotation):
                if below not in found:
                    key = f"{place}.{name}".lstrip(".")
                    found[below] = _TITLES.get(below, key)
                    waiting.append((below, key))
    return sorted(found.items(), key=lambda item: (item[0] is not root, _order(root, item[1])))


def _order(root: type[BaseModel], title: str) -> tuple[int, str]:
    first = re.split(r"[.:]", title)[0]
    names = list(root.model_fields)
    return (names.index(first) if first in names else -1), title


def _section(model: type[BaseModel], title: str) -> str:
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    table = ["| key | default | value | |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {title}", "", _markdown(inspect.getdoc(model) or ""), "", *table, ""])


def _row(name: str, field: FieldInfo) -> str:
    given = field.get_default(call_default_factory=True)
    if field.is_required():
        default = "required"
    elif given in (None, (), {}) or isinstance(given, BaseModel):
        default = ""
    else:
        default = f"`{_written(given)}`"
    ends = " ".join(_ends(field.metadata))
    value = " or ".join(
        dict.fromkeys(f"{text} {ends}".strip() for text in _values(field.annotation))
    )
    cells = (f"`{name}`", default, value, _markdown(" ".join((field.description or "").split())))
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _values(annotation: Any) -> Iterator[str]:
    """Return what a value must be, one text for each alternative."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ends = " ".join(_ends(annotation.__metadata__))
        yield from (f"{text} {ends}".strip() for text in _values(arguments[0]))
    elif origin is Literal:
        yield ", ".join(f"`{value}`" for value in arguments)
    elif origin is tuple:
        inner = " or ".join(dict.fromkeys(_values(arguments[0])))
        yield f"list of {inner}" if arguments[-1] is ... else f"list of {len(arguments)} of {inner}"
    elif origin is dict:
        yield "mapping"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "keys, below"
    elif arguments:
        for argument in arguments:
            yield from _values(argument)
    elif annotation is not type(None):
        names = {str: "text", int: "integer", float: "number", bool: "`true` or `false`"}
        yield names.get(annotation, "any")


def _ends(metadata: Sequence[Any]) -> Iterator[str]:
    """Return the bounds of a number among pydantic's metadata."""
    for item in metadata:
        parts = item.metadata if isinstance(item, FieldInfo) else [item]
        for part in parts:
            for name, word in _BOUNDS.items():
                if (bound := getattr(part, name, None)) is not None:
                    yield f"{word} {_written(bound)}"


if __name__ == "__main__":
    print(reference(), end="")
