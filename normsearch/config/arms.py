"""A space of fixed trainings as typed models: arms that are compared, each with several seeds."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch import limits
from normsearch.config.base import (
    ItemError,
    Model,
    Number,
    RunName,
    Seed,
)
from normsearch.config.hyperparameters import Required
from normsearch.errors import NormError, short
from normsearch.norms import NormSpec


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
    norm: Annotated[dict[str, str], BeforeValidator(_everywhere), Field(min_length=1)]


class Arm(Required, _Named):
    """One way of training, fixed: a norm map by globs and all else that a search would choose.

    `norm` may be one spec, for every slot. `training` are keys of the study's training that this
    arm has otherwise (``{schedule: constant}``). What is None is as the study's training and
    network say.
    """

    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_norms(self) -> Self:
        for glob, text in self.norm.items():
            try:
                NormSpec.parse(text)
            except NormError as error:
                raise ItemError(f"norm[{glob}]", str(error)) from error
        return self


class Origin(Model):
    """The search that arms were chosen from, and what it had seen when they were.

    `top` is how many of its best were asked for beside the single norms; `trials` and `scores` are
    the search's trial and its validation score, by arm; `left_out` says why a single norm is no
    arm; `seen_folds` are test folds that the search did not hold out. `mixtures` are the arms
    with several norms. `beside` gives each arm the one that is the reference at that arm's setting:
    the reference itself where their settings are equal, else an arm added for it. `untuned` are the
    single norms that the search completed at too few settings to compare them, with their number.
    `edges` says, by arm, which numbers the search
    chose at the end of their range.
    """

    study: RunName
    top: Number | None = None
    trials: dict[str, Number]
    scores: dict[str, float]
    left_out: dict[str, str] = Field(default_factory=dict)
    seen_folds: tuple[str, ...] = ()
    mixtures: tuple[str, ...] = ()
    beside: dict[str, str] = Field(default_factory=dict)
    untuned: dict[str, Number] = Field(default_factory=dict)
    edges: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class ArmsConfig(Model):
    """Trainings that are compared, not searched: every arm with every seed (on every fold).

    A seed is that of the first weights, the order of samples and the augmentation. `seeds` may be
    a number of them. `folds`, if given, are taken as the test fold one after another, in place of
    the task's own. `reference` is the arm that the others are compared with, the first if none is
    named: it must not be chosen by the scores that are compared. `origin` is where arms are from.
    """

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_counted), Field(min_length=1)] = (0,)
    folds: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(map(str, v)) if isinstance(v, list | tuple) else v),
    ] = ()
    reference: str | None = None
    origin: Origin | None = None

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
        if self.size > limits.TRIALS:
            raise ValueError(f"must be {limits.TRIALS} trainings at most, got {self.size}")
        return self

    @property
    def size(self) -> int:
        """The number of trainings."""
        return len(self.arms) * len(self.seeds) * max(len(self.folds), 1)
