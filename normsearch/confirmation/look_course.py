"""The course of a confirmation in looks: what its recorded trainings decide, and which are due.

Nothing is remembered but the trainings themselves: every driver that reads the same ones comes to
the same decisions. A look is judged once all its trainings have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.arms import LOOKS
from normsearch.config.metric import Direction
from normsearch.confirmation.arm_table import Roles, reference_of, roles_of
from normsearch.confirmation.looks import Measured, Pairs, State, begin, look, trained
from normsearch.confirmation.pair_tests import Array
from normsearch.confirmation.score_table import score_table, whole_seeds, with_empty_truth
from normsearch.errors import StudyError
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import trial_folder


@dataclass(frozen=True, eq=False)
class Course:
    """A confirmation in looks so far.

    `arms`: in the order of their scores, the reference first. `pairs`, `state`: see
    `normsearch.confirmation.looks`; None before the first look. `measured` and `scores`: by look.
    `due`: the (seed, arm) to be trained so far, in this order. `finished`: whether every look was
    judged that is needed, and that `ArmsConfig.trainings` allows. `lacking`: how many trainings
    more the next look would take than are allowed, 0 if looks do not end for that.
    """

    space: ArmsConfig
    arms: tuple[str, ...]
    due: tuple[tuple[int, str], ...]
    finished: bool = False
    lacking: int = 0
    pairs: Pairs = field(default_factory=partial(Pairs, (), ()))
    state: State | None = None
    measured: Mapping[int, Measured] = field(default_factory=dict)
    scores: Mapping[int, Array] = field(default_factory=dict)

    @property
    def reference(self) -> str | None:
        """The arm that the others are compared with; None before the first look."""
        return self.arms[0] if self.state else None

    @property
    def judged(self) -> int:
        """The seeds of the last look that was judged, 0 before the first."""
        return max(self.measured, default=0)

    @property
    def trainings(self) -> int:
        """The number of trainings that are due."""
        return len(self.due) * max(len(self.space.folds), 1)

    def decided(self) -> Iterator[tuple[str, str, int]]:
        """Yield each compared arm, what is decided of it, and after how many seeds.

        The decision is ``better``, ``not pursued``, ``open`` or, at the last look, ``to the end``.
        """
        if self.state is None:
            return
        last = "to the end" if self.finished else "open"
        for place, arm in enumerate(self.pairs.compared):
            told = "not pursued" if self.state.dropped[place] else last
            told = "better" if self.state.better[place] else told
            yield self.arms[arm], told, int(self.state.seeds[place])


def begun_course(space: ArmsConfig) -> Course:
    """Return the course before any training."""
    return Course(space, tuple(arm.name for arm in space.arms), tuple(_order(space, 0)))


def course_of(record: StudyRecord, config: StudyConfig) -> Course:
    """Return the course of a recorded confirmation in looks.

    Raises:
        StudyError: the scores of a finished training are missing.
    """
    space = config.space
    if not isinstance(space, ArmsConfig) or space.design != "looks":
        raise StudyError(f"{record.name}: must be a confirmation with design looks, and is not.")
    trials = record.trials()
    ended = trials[trials["state"].isin(["COMPLETE", "FAIL"])]
    counts: dict[Any, int] = ended.groupby(["seed", "arm"]).size().to_dict()
    folds = max(len(space.folds), 1)
    whole = {(int(seed), str(arm)) for (seed, arm), count in counts.items() if count >= folds}
    if not set(_order(space, 0)) <= whole:  # no look to judge, so no need to read the scores
        return begun_course(space)
    cases = record.cases()
    lacking = sorted(set(ended.loc[ended["state"] == "COMPLETE", "number"]) - set(cases["number"]))
    if lacking:
        path = trial_folder(record.folder, int(lacking[0])) / "cases.csv"
        raise StudyError(
            f"{path}: must hold the score of each case, by which arms are judged, and is missing; "
            "restore it, or yield cases if the training loop is your own."
        )
    scores = with_empty_truth(cases, record.of_class)
    return course(scores, whole, space, direction=record.direction)


def course(
    scores: pd.DataFrame,
    ended: Collection[tuple[int, str]],
    space: ArmsConfig,
    *,
    direction: Direction = "maximize",
) -> Course:
    """Return the course of trainings with these scores.

    Args:
        scores: as for `compare`, of all trainings that have a score.
        ended: the (seed, arm) all of whose trainings have ended, also those that failed.
        space: the arms, seeds and folds.
        direction: whether a higher score is better, or a lower one.
    """
    scores = scores if direction == "maximize" else scores.assign(score=-scores["score"])
    found = begun_course(space)
    for place, seeds in enumerate(LOOKS):
        if not set(found.due) <= set(ended):
            return found
        table = _table(scores, space.seeds[:seeds])
        if found.state is None and not (found := _begun(found, set(table), direction)).arms:
            return Course(space, (), found.due, finished=True)
        found = _judged(found, table, seeds)
        if seeds == LOOKS[-1] or found.state is None or not found.state.open.any():
            break
        needed = trained(found.state, found.pairs)
        names = [arm for arm, wanted in zip(found.arms, needed, strict=True) if wanted]
        more = (*found.due, *_order(space, place + 1, names))
        lacking = len(more) * max(len(space.folds), 1) - (space.trainings or space.size)
        if lacking > 0:  # ends without a claim, so no more claims are wrong than were allowed for
            return replace(found, finished=True, lacking=lacking)
        found = replace(found, due=more)
    return replace(found, finished=True)


def _order(
    space: ArmsConfig, place: int, names: Collection[str] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the trainings that a look adds, seed by seed; of all arms if `names` is None."""
    before = LOOKS[place - 1] if place else 0
    for seed in space.seeds[before : LOOKS[place]]:
        for arm in space.arms:
            if names is None or arm.name in names:
                yield seed, arm.name


def _table(scores: pd.DataFrame, seeds: tuple[int, ...]) -> dict[str, Array]:
    """Return {arm: scores by seed and case} of the arms with a whole seed; NaN for other seeds.

    Only these seeds decide which cases count, so that later trainings change no decision.
    """
    whole = whole_seeds(scores[scores["seed"].isin(seeds)])
    if whole.empty:
        return {}
    arms = score_table(whole).arms
    return {arm: part.reindex([*seeds]).to_numpy(float) for arm, part in arms.items()}


def _begun(found: Course, there: set[str], direction: Direction) -> Course:
    """Return the course with its reference and comparisons; without arms if none can be one."""
    space, roles = found.space, roles_of(found.space)
    _, reference = reference_of(space, roles, there, direction)
    if reference is None:
        return replace(found, arms=())
    others = [arm.name for arm in space.arms if arm.name != reference]
    arms = (reference, *others)
    pairs = comparisons(arms, roles)
    return replace(found, arms=arms, pairs=pairs, state=begin(len(arms), pairs))


def comparisons(arms: tuple[str, ...], roles: Roles) -> Pairs:
    """Return the comparisons of arms with the first of them, and with it at their settings."""
    added = {other for other in roles.beside.values() if other} - {*roles.singles, *roles.mixtures}
    pairs = []
    for place, arm in enumerate(arms):
        if place and arm not in added:
            other = roles.beside.get(arm)
            pairs.append((place, 0))
            if other in arms and other not in (arms[0], arm):
                pairs.append((place, arms.index(other)))
    return Pairs(tuple(arm for arm, _ in pairs), tuple(other for _, other in pairs))


def _judged(found: Course, table: Mapping[str, Array], seeds: int) -> Course:
    shape = next(iter(table.values())).shape
    nothing = np.full(shape, np.nan)
    scores = np.stack([table.get(arm, nothing) for arm in found.arms])
    state = found.state or begin(len(found.arms), found.pairs)
    state, measured = look(state, scores, seeds, found.pairs)
    return replace(
        found,
        state=state,
        measured={**found.measured, seeds: measured},
        scores={**found.scores, seeds: scores},
    )
