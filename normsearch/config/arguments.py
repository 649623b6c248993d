"""The arguments of `Study.run`, `resume` and `confirm` as typed models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from normsearch import limits
from normsearch.config.base import Model, Number, Trials
from normsearch.errors import short


def _listed(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of functions of an event, got {short(value)}")
    return value


def _called(value: object) -> object:
    if not callable(value):
        raise ValueError(f"must be a function of an event, got {short(value)}")
    return value


class RunArguments(Model):
    """The arguments of `Study.run` and `Study.resume`."""

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


class ConfirmArguments(Model):
    """The arguments of `Study.confirmation`."""

    top: Number | None = None
    """Number of best mixtures."""
    seeds: Annotated[int, Field(gt=0, le=limits.SEEDS)] | None = None
    """Trainings of each arm."""
    folds: Literal["test", "all"] | None = None
    """The search's own test folds, or all in turn."""
