"""A space of fixed trainings as typed models: arms that are compared, each with several seeds."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch import limits
from normsearch.config.base import (
    ItemError,
    Model,
    Number,
    RunName,
    Seed,
    Trials,
)
from normsearch.config.hyperparameters import Required
from normsearch.errors import NormError, short
from normsearch.norms import NormSpec

LOOKS = (2, 3, 5, 8)
"""The numbers of seeds after which the design ``looks`` judges arms."""


def _everywhere(value: object) -> object:
    """Read a bare spec as that norm in every slot."""
    return {"*": value} if isinstance(value, str) else value


def _counted(value: object) -> object:
    """Read ``3`` as the seeds 0, 1, 2."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if not 0 < value <= limits.SEEDS:
        given = short(value)
        raise ValueError(f"must be a number of seeds from 1 to {limits.SEEDS}, got {given}")
    return tuple(range(value))


class _Named(Model):
    name: Annotated[str, Field(min_length=1)]
    """Name of the arm."""
    norm: Annotated[dict[str, str], BeforeValidator(_everywhere), Field(min_length=1)]
    """Norm of each slot, by glob; or one spec for every slot."""


class Arm(Required, _Named):
    """A fixed way of training. A value that is left out is the study's."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of the study's training that differ for this arm, such as {schedule: constant}."""

    @model_validator(mode="after")
    def _known_norms(self) -> Self:
        for glob, text in self.norm.items():
            try:
                NormSpec.parse(text)
            except NormError as error:
                raise ItemError(f"norm[{glob}]", str(error)) from error
        return self


class Origin(Model):
    """The search that the arms of a confirmation were chosen from."""

    study: RunName
    """Name of the run."""
    top: Number | None = None
    """How many of its best mixtures were asked for."""
    trials: dict[str, Number]
    """Trial of the search, by arm."""
    scores: dict[str, float]
    """Validation score of that trial, by arm; after a race the mean over its trainings."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Why a single norm is not an arm."""
    seen_folds: tuple[str, ...] = ()
    """Test folds that the search did not hold out."""
    mixtures: tuple[str, ...] = ()
    """Names of the arms with several norms."""
    beside: dict[str, str] = Field(default_factory=dict)
    """The arm that trains the reference norm at an arm's setting, by arm."""
    untuned: dict[str, Number] = Field(default_factory=dict)
    """Number of settings completed, for single norms with too few to be compared."""
    edges: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Numbers that the search chose at the end of their range, by arm."""


class ArmsConfig(Model):
    """Fixed trainings that are compared: every arm with every seed, on every fold."""

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    """The arms."""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_counted), Field(min_length=1)] = (0,)
    """Seeds of initial weights, order of samples and augmentation; or a number of seeds."""
    folds: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(map(str, v)) if isinstance(v, list | tuple) else v),
    ] = ()
    """Folds to test on in turn, instead of the task's test folds."""
    design: Literal["fixed", "looks"] = "fixed"
    """Trainings and test: ``fixed`` trains every arm with every seed and tests once, at the end;
    ``looks`` judges after 2, 3, 5 and 8 seeds and ends arms that are decided or not worth
    pursuing."""
    trainings: Trials | None = None
    """The most trainings. Design looks ends before a look that would exceed it."""
    reference: str | None = None
    """Arm that the others are compared with (the first); it must not be chosen by the scores that
    are compared."""
    origin: Origin | None = None
    """The search that the arms come from; recorded by `normsearch confirm`."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [arm.name for arm in self.arms]
        for key, values in (("arms", names), ("seeds", self.seeds), ("folds", self.folds)):
            value, count = (Counter(values).most_common(1) or [("", 1)])[0]
            if count > 1:
                raise ItemError(key, f"must name each once, got {value!r} {count} times")
        if self.reference is not None and self.reference not in names:
            raise ItemError(
                "reference", f"must be one of {', '.join(names)}, got {self.reference!r}"
            )
        if self.design == "looks" and len(self.seeds) != LOOKS[-1]:
            raise ItemError(
                "seeds", f"must be {LOOKS[-1]} with design looks, got {len(self.seeds)}"
            )
        if self.design == "looks" and len(self.arms) < 2:
            raise ItemError("design", "must be fixed for a single arm, got looks")
        least = self.size if self.design == "fixed" else self.size * LOOKS[0] // LOOKS[-1]
        if self.trainings is not None and self.trainings < least:
            raise ItemError(
                "trainings",
                f"must be at least {least}, the trainings "
                f"{'of the first look' if self.design == 'looks' else 'of all arms and seeds'}, "
                f"got {self.trainings}",
            )
        if self.size > limits.TRIALS:
            raise ValueError(f"must be at most {limits.TRIALS} trainings, got {self.size}")
        return self

    @property
    def size(self) -> int:
        """The number of trainings, with design looks the most that there may be."""
        return len(self.arms) * len(self.seeds) * max(len(self.folds), 1)
