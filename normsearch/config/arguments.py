"""The arguments of `Study.run`, `resume` and `confirm` as a typed model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from normsearch import limits
from normsearch.config.base import Model, Number, Trials
from normsearch.config.reading import validate
from normsearch.errors import short

P = ParamSpec("P")
R = TypeVar("R")


def _listed(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of functions of an event, got {short(value)}")
    return value


def _called(value: object) -> object:
    if not callable(value):
        raise ValueError(f"must be a function of an event, got {short(value)}")
    return value


class Arguments(Model):
    """The arguments that the methods of a study share with the command line."""

    workers: Annotated[int, Field(gt=0, le=limits.WORKERS)] | None = None
    """Trials at once."""
    executor: Literal["ray", "local"] = "ray"
    """Where trials are trained."""
    address: str | None = None
    """A running Ray cluster."""
    callbacks: Annotated[
        tuple[Annotated[Any, AfterValidator(_called)], ...], BeforeValidator(_listed)
    ] = ()
    """Functions that are called with each event."""
    trials: Trials | None = None
    """The new total number of trials."""
    top: Number | None = None
    """Number of best mixtures to confirm."""
    seeds: Annotated[int, Field(gt=0, le=limits.SEEDS)] | None = None
    """Trainings of each arm."""
    folds: Literal["test", "all"] | None = None
    """The search's own test folds, or all in turn."""
    design: Literal["fixed", "looks"] | None = None
    """How arms are judged."""
    trainings: Annotated[int, Field(gt=0, le=limits.TRIALS)] | None = None
    """The most trainings of a confirmation."""


def checked(method: Callable[P, R]) -> Callable[P, R]:
    """Validate the keyword arguments of a method that `Arguments` names before it is called.

    Raises:
        ConfigError: a value is invalid.
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {name: value for name, value in kwargs.items() if name in Arguments.model_fields}
        validate(Arguments, given, f"{method.__name__}()")
        return method(*args, **kwargs)

    return call
