"""The design and the number of seeds of a confirmation, within the trainings that it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from normsearch.config.arms import LOOKS

Design = Literal["fixed", "looks"]
TOP, SEEDS = 3, 5
LOOKS_FROM = 6
"""The number of compared arms, the reference among them, from which looks are the default."""
_FEWEST = {"fixed": 2, "looks": LOOKS[1]}  # seeds with which a design can claim anything


@dataclass(frozen=True)
class PlanSize:
    """What a confirmation trains.

    Attributes:
        design: how arms are judged.
        seeds: trainings of each arm; in looks the most.
        each: trainings with one seed, of all arms on all folds.
        given: whether the user chose `seeds`.
    """

    design: Design
    seeds: int
    each: int
    given: bool

    @property
    def most(self) -> int:
        """The most trainings."""
        return self.each * self.seeds

    @property
    def fewest(self) -> int:
        """The fewest trainings with which it may begin."""
        return self.most if self.given else self.each * _FEWEST[self.design]

    def within(self, trainings: int) -> PlanSize | None:
        """Return what so many trainings allow, None if this can test nothing."""
        if trainings < self.fewest:
            return None
        if self.given or self.design == "looks":  # looks end by themselves, see `course`
            return self
        return replace(self, seeds=min(self.seeds, trainings // self.each))


def plan_size(
    arms: int, compared: int, folds: int, seeds: int | None, design: Design | None
) -> PlanSize:
    """Return what a confirmation trains that may take any number of trainings.

    Args:
        arms: number of arms that are trained.
        compared: number of those that are compared, the reference among them.
        folds: number of folds that are tested in turn, 0 for one split.
        seeds, design: what the user chose, if anything.
    """
    each, given = arms * max(folds, 1), seeds is not None
    design = design or ("looks" if not given and compared >= LOOKS_FROM else "fixed")
    number = LOOKS[-1] if design == "looks" else SEEDS if seeds is None else seeds
    return PlanSize(design, number, each, given)
