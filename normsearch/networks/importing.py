"""Objects by the text that names them, `module:name`: what a user says is imported here alone."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

from normsearch.errors import NetworkError, did_you_mean

# What code that is not ours raises where it is given something it cannot use.
FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, ImportError),
    *(RuntimeError, TypeError, ValueError),
)


def import_object(text: str) -> object:
    """Return what ``module:name`` says; the working folder is importable, after all else.

    Raises:
        NetworkError: not of this form, or no such module or name.
    """
    path, _, name = text.partition(":")
    if not path or not name:
        raise NetworkError(f"{text!r}: must be of the form module:function")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # for good: a module may import its neighbours late
    try:
        found: object = importlib.import_module(path)
    except ModuleNotFoundError as error:
        # A module that exists, and itself imports one that does not, has another cure.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise NetworkError(
                f"{text}: must be importable, and says: {one_line(error)}"
            ) from error
        raise NetworkError(
            f"{text}: must name a module that is installed or lies in {here}, and there is no "
            f"{error.name}; install it, or run from the folder that holds it"
        ) from error
    except (*FAULTS, SyntaxError) as error:
        raise NetworkError(f"{text}: must be importable, and says: {one_line(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            likely = did_you_mean(part, [key for key in dir(found) if not key.startswith("_")])
            raise NetworkError(f"{text}: must name something in {path}, got {part!r}.{likely}")
        found = getattr(found, part)
    return found


def with_objects(value: object) -> object:
    """Return `value`, with every ``{import: module:name}`` in it replaced by that object."""
    if isinstance(value, Mapping):
        if list(value) == ["import"]:
            return import_object(str(value["import"]))
        return {key: with_objects(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_objects(item) for item in value]
    return value


def one_line(error: BaseException) -> str:
    """Return an error in one line, its kind where it has no words."""
    text = " ".join(str(error).split())
    return text if len(text) > 3 else f"{type(error).__name__} {text}".strip()
