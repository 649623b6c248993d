"""Imports objects by their import path, `module:name`; the only place that imports user code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import torch

from normsearch.errors import (
    ConfigError,
    NetworkError,
    NormsearchError,
    did_you_mean,
    one_line,
    sentence,
    short,
)

P = ParamSpec("P")
R = TypeVar("R")

_PROVIDED: dict[str, object] = {}


def provide(text: str, found: object) -> None:
    """Make `import_object` return `found` for an import path, for example of a notebook's class."""
    _PROVIDED[text] = found


def named(network: Any, key: str = "network") -> Any:
    """Return the import path of a class or function, and make it importable by this path.

    Other values, such as names, are returned unchanged.

    Raises:
        ConfigError: the value of `key` can be called, but has no name of its own.
    """
    if not callable(network):
        return network
    if not hasattr(network, "__qualname__"):  # functools.partial, or an object with __call__
        raise ConfigError(
            f"{key}: must be a function, a class or module:name, got {short(network)}; define a "
            "function that calls it."
        )
    text = f"{network.__module__}:{network.__qualname__}"
    provide(text, network)
    return text


def nameless(text: str) -> bool:
    """Return whether no other process can import ``module:name``: a lambda, or in a function."""
    return "<" in text


class WithProvided(Generic[P, R]):
    """A trainer that also transfers to other processes what `provide` was given for `paths`.

    Other studies of this process may have been given objects that no worker can import.
    """

    def __init__(self, trainer: Callable[P, R], paths: Iterable[str | None]) -> None:
        self._trainer = trainer
        self._provided = {path: _PROVIDED[path] for path in paths if path in _PROVIDED}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the trainer."""
        _PROVIDED.update(self._provided)
        return self._trainer(*args, **kwargs)


def import_object(text: str) -> object:
    """Return the object at ``module:name``; the working folder is last on the import path.

    Raises:
        NetworkError: the text has another form, or the module or name does not exist.
    """
    if text in _PROVIDED:
        return _PROVIDED[text]
    path, _, name = text.partition(":")
    if not path or not name:
        raise NetworkError(f"{text!r}: must be of the form module:function")
    here = _working_folder()
    try:
        found: object = importlib.import_module(path)
    except ModuleNotFoundError as error:
        # If the module exists but imports a missing one, the cure is another.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise NetworkError(
                f"{text}: must be importable, and says: {one_line(error)}"
            ) from error
        raise NetworkError(
            f"{text}: must name a module that is installed or lies in {here}, and there is no "
            f"{error.name}; install it, or run from the folder that holds it"
        ) from error
    except (Exception, SystemExit) as error:  # of foreign code
        raise NetworkError(f"{text}: must be importable, and says: {one_line(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            likely = did_you_mean(part, [key for key in dir(found) if not key.startswith("_")])
            raise NetworkError(f"{text}: must name something in {path}, got {part!r}.{likely}")
        found = getattr(found, part)
    return found


def load(text: str, where: str) -> Any:
    """Return the object at ``module:name``; see `import_object`.

    Raises:
        ConfigError: it does not exist or its import fails; `where` is the key of the study.
    """
    try:
        return import_object(text)
    except NetworkError as error:
        raise ConfigError(f"{where}: {sentence(error)}") from error


@contextmanager
def users_code(rule: str, fault: Callable[[str], NormsearchError] = ConfigError) -> Iterator[None]:
    """Turn any exception of a user's code into one sentence.

    Args:
        rule: where, and what is wrong; the message of the exception follows.
        fault: makes the error of the sentence. Errors of ours and of memory pass unchanged.
    """
    try:
        yield
    except (NormsearchError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # a user's code raises what it likes
        raise fault(f"{rule}: {type(error).__name__}: {one_line(error)}.") from error


def parameters_of(function: Any) -> list[str]:
    """Return the keyword parameters of a function; none if Python cannot inspect it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def with_objects(value: object) -> object:
    """Return `value`, with every ``{import: module:name}`` in it replaced by that object."""
    if isinstance(value, Mapping):
        if list(value) == ["import"]:
            return import_object(str(value["import"]))
        return {key: with_objects(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_objects(item) for item in value]
    return value


def imports_in(value: object) -> Iterator[str]:
    """Yield the ``module:name`` of every ``{import: module:name}`` in `value`."""
    if isinstance(value, Mapping):
        if list(value) == ["import"]:
            yield str(value["import"])
        else:
            for item in value.values():
                yield from imports_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from imports_in(item)


Place = Literal["in sight", "installed", "of Python"]
"""Where a module lies: in the user's files, in an installed package, or in Python."""


def place_of(file: str | None) -> Place:
    """Return where the module of a file lies; modules without a file belong to Python."""
    if not file or not os.path.isabs(file):  # "built-in", "frozen"
        return "of Python"
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return "installed"
    library = sysconfig.get_paths()
    roots = {Path(library[name]).resolve() for name in ("stdlib", "platstdlib")}
    return "of Python" if any(path.is_relative_to(root) for root in roots) else "in sight"


def locate(text: str) -> Place | None:
    """Return where the module of ``module:name`` lies, or None if it does not exist.

    The module does not run, but its parent packages do.
    """
    _working_folder()
    try:
        spec = importlib.util.find_spec(text.partition(":")[0])
    except (ImportError, AttributeError, ValueError):  # there is no such module
        return None
    if spec is None:
        return None
    inside = next(iter(spec.submodule_search_locations or ()), None)  # of a namespace package
    return place_of(spec.origin or inside)


def _working_folder() -> str:
    """Append the working folder to the import path and return it."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # permanently, as modules may import others later
    return here
