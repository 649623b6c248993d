"""The result of a study of fixed trainings: the comparison and its precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.metric import ANY, Bounds, Direction
from normsearch.config.reading import read_recorded_study
from normsearch.confirmation.arm_table import (
    Roles,
    described,
    read_surfaces,
    reference_of,
    roles_of,
    unit_of,
)
from normsearch.confirmation.claims import beats_all, judged
from normsearch.confirmation.look_course import Course, course_of
from normsearch.confirmation.look_table import judged_in_looks, not_beaten_in_looks
from normsearch.confirmation.power import Components, Power, components, power_of
from normsearch.confirmation.score_table import whole_seeds, with_empty_truth
from normsearch.confirmation.statistics import compare
from normsearch.errors import StudyError
from normsearch.storage.records import StudyRecord

SCORED_ON = {"held_out": "validation", "training": "training", "test": "test"}


@dataclass(frozen=True)
class Comparison:
    """Arms compared by their scores of single cases.

    `table` is the result of `compare` and `judged`. `not_beaten`: for mixtures better than the
    reference, the single norms that they are not shown to be better than. `spread` and `power` are
    None with one seed or one case, and before all trainings have finished.
    """

    table: pd.DataFrame
    not_beaten: dict[str, list[str]]
    spread: Components | None
    power: Power | None


@dataclass(frozen=True)
class Confirmation:
    """The result of a study of fixed trainings so far.

    `metric`: the score of a case. `chosen_by`: the metric of the search. `trainings`: how many have
    ended, and how many were asked for. `scored_on`: ``test``, ``validation`` or ``training`` cases.
    `failures`: the reasons of failed trainings, by arm. `reference_score`: the reference's
    validation score in the search. `cases_left_out`: cases with an empty truth. `edges`: by arm,
    the numbers that the search chose at the end of their range. `misses`: how many segmentations
    were missed, and how many there are. `hd95_unit`: ``mm`` or ``pixels``. `course`: the looks so
    far, if arms are judged in looks: `trainings` then asks for those up to the next look, `seeds`
    is the most that an arm has, and decided arms have verdicts before the end.
    """

    study: str
    confirms: str | None
    metric: str
    chosen_by: str
    direction: Direction
    finished: bool
    trainings: tuple[int, int]
    scored_on: str
    reference: str
    reference_score: float | None
    first_choice: str
    seeds: int
    cases: int
    cases_left_out: int
    folds: tuple[str, ...]
    seen_folds: tuple[str, ...]
    comparison: Comparison
    table: pd.DataFrame
    failures: dict[str, list[str]]
    left_out: dict[str, str]
    edges: dict[str, tuple[str, ...]]
    misses: tuple[int, int]
    hd95_unit: str
    course: Course | None = None


def compared(
    scores: pd.DataFrame,
    reference: str,
    *,
    roles: Roles | None = None,
    tested: bool = True,
    direction: Direction = "maximize",
    bounds: Bounds = ANY,
    course: Course | None = None,
) -> Comparison:
    """Compare arms, and estimate the power of the comparison; see `compare` and `judged`.

    Args:
        scores: as for `compare`.
        reference: the arm that all are compared with.
        roles: which arms are single norms, mixtures, and the reference at a mixture's setting.
        tested: whether all trainings have ended; otherwise only means are given.
        direction: whether a higher score is better, or a lower one.
        bounds: the least and the largest possible score: no interval ends beyond them, none of a
            difference beyond their distance.
        course: the looks that have decided, if arms are judged in looks.

    Raises:
        DataError: as for `compare`.
    """
    roles = roles or Roles()
    if direction == "minimize":  # the negatives are compared, and told with their own sign
        turned = scores.assign(score=-scores["score"])
        ends = -bounds[1], -bounds[0]
        how: dict[str, Any] = {"tested": tested, "bounds": ends, "course": course}
        found = compared(turned, reference, roles=roles, **how)
        return replace(found, table=negated(found.table))
    added = {other for other in roles.beside.values() if other} - {*roles.singles, *roles.mixtures}
    own = scores[~scores["arm"].isin(added)]
    if course is not None and course.state is not None:
        return _in_looks(scores, own, course, roles, bounds)
    if not tested:
        return Comparison(compare(scores, reference, tested=False), {}, None, None)
    table = compare(own, reference)
    table = _within(judged(scores, table, reference, roles.beside, roles.untuned), bounds)
    winners = table.loc[table["verdict"] == "better", "arm"]
    better = [str(arm) for arm in winners if arm in roles.mixtures]
    singles = [arm for arm in roles.singles if arm != reference and arm in set(table["arm"])]
    not_beaten = _not_beaten(own, better, singles, roles.untuned)
    spread = power = None
    if min(table["seeds"].min(), table["cases"].min(), len(table)) > 1:
        spread, power = components(scores), power_of(scores, table, reference, roles, bounds)
    return Comparison(_with_added(table, scores, reference), not_beaten, spread, power)


def _in_looks(
    scores: pd.DataFrame, own: pd.DataFrame, course: Course, roles: Roles, bounds: Bounds
) -> Comparison:
    """Return the comparison by the decisions of looks; `own` are the scores of compared arms.

    No power is stated: it depends on decisions at every look.
    """
    reference = course.arms[0]
    table = _within(judged_in_looks(compare(own, reference), course, roles), bounds)
    better = [
        arm for arm in table.loc[table["verdict"] == "better", "arm"] if arm in roles.mixtures
    ]
    singles = [arm for arm in roles.singles if arm != reference and arm in set(table["arm"])]
    left = not_beaten_in_looks(course, better, singles)
    beaten = {arm: list(dict.fromkeys([*some, *roles.untuned])) for arm, some in left.items()}
    known = min(table["seeds"].max(), table["cases"].min(), len(table)) > 1
    spread = components(scores) if known else None
    return Comparison(_with_added(table, scores, reference), beaten, spread, None)


def negated(table: pd.DataFrame) -> pd.DataFrame:
    """Return a comparison of negated scores as that of the scores themselves."""
    columns = {name: name for name in ("mean", "difference", "beside_difference")}
    for prefix in ("", "total_", "beside_"):
        columns |= {f"{prefix}low": f"{prefix}high", f"{prefix}high": f"{prefix}low"}
    return table.assign(**{
        name: 0.0 - table[other].astype(float)
        for name, other in columns.items()
        if other in table
    })  # fmt: skip


def _within(table: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """Return a comparison without what no score or difference of scores can be."""
    (least, most), span = bounds, bounds[1] - bounds[0]
    ends = {name: table[name].clip(least, most) for name in ("low", "high")}
    names = ("total_low", "total_high", "beside_low", "beside_high")
    return table.assign(**ends, **{name: table[name].clip(-span, span) for name in names})


def _not_beaten(
    scores: pd.DataFrame, better: list[str], singles: list[str], untuned: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return the single norms that mixtures are not shown to beat, always with the untuned ones."""
    found = beats_all(scores, better, singles) if better else {}
    return {arm: list(dict.fromkeys([*left, *untuned])) for arm, left in found.items()}


def _with_added(table: pd.DataFrame, scores: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return `table` with the means of the reference at other settings."""
    if set(scores["arm"]) <= set(table["arm"]):
        return table
    means = compare(scores, reference, tested=False)
    rows = means[~means["arm"].isin(table["arm"])].assign(verdict="")
    found = pd.concat([table, rows], ignore_index=True)
    return found.sort_values("mean", ascending=False, ignore_index=True)


def _arms_of(record: StudyRecord, config: StudyConfig) -> ArmsConfig:
    if not isinstance(config.space, ArmsConfig):
        raise StudyError(
            f"{record.name}: must be a study of fixed trainings, and is a search; confirm what it "
            f"found with `normsearch confirm {record.name}`."
        )
    return config.space


def _failures(trials: pd.DataFrame) -> dict[str, list[str]]:
    failed = trials[trials["state"] == "FAIL"]
    return {str(arm): list(part["failure"]) for arm, part in failed.groupby("arm")}


def confirmation(record: StudyRecord) -> Confirmation:
    """Return the result of a study of arms.

    Before all trainings have ended there are means but no tests: repeated testing until a
    difference is significant is wrong more often than 5%. A seed of an arm counts if it is scored
    on every case that any training was scored on. An arm without such a seed is ``not trained``;
    if it is the reference, the single norm with the next best validation score replaces it.

    Raises:
        StudyError: the study is a search, or no arm is trained yet.
    """
    config = read_recorded_study(record.folder)
    space, trials = _arms_of(record, config), record.trials()
    whole = whole_seeds(with_empty_truth(record.cases(), record.of_class))
    roles = roles_of(space)
    first, reference = reference_of(space, roles, set(whole["arm"]), record.direction)
    if reference is None:
        raise StudyError(
            f"{record.name}: must have a finished training of an arm to compare with, and has "
            f"none; see `normsearch status {record.name}`."
        )
    course = course_of(record, config) if space.design == "looks" else None
    reference = (course.reference if course else None) or reference
    ended = int(trials["state"].isin(["COMPLETE", "FAIL"]).sum())
    finished = course.finished if course else ended >= space.size
    found = compared(
        whole, reference, roles=roles, tested=finished, direction=record.direction,
        bounds=config.bounds, course=course,
    )  # fmt: skip
    surfaces = read_surfaces(record)
    return Confirmation(
        study=record.name,
        metric=record.case_metric,
        chosen_by=record.metric,
        direction=record.direction,
        finished=finished,
        trainings=(ended, course.trainings if course else space.size),
        scored_on=SCORED_ON[config.task.validation],
        reference=reference,
        first_choice=first,
        seeds=int(found.table["seeds"].max()) if course else len(space.seeds),
        course=course,
        cases=int(found.table["cases"].max()),
        cases_left_out=whole["case"].nunique() - int(found.table["cases"].max()),
        folds=_folds(config, space),
        comparison=found,
        table=described(found.table, config, trials, surfaces),
        failures=_failures(trials),
        misses=(int(surfaces["missed"].sum()), len(surfaces)),
        hd95_unit=unit_of(surfaces),
        **_origin(space, reference),
    )


def _origin(space: ArmsConfig, reference: str) -> dict[str, Any]:
    """Return the facts about the search that the arms were chosen from."""
    origin = space.origin
    return {
        "confirms": origin.study if origin else None,
        "reference_score": origin.scores.get(reference) if origin else None,
        "seen_folds": origin.seen_folds if origin else (),
        "left_out": dict(origin.left_out) if origin else {},
        "edges": dict(origin.edges) if origin else {},
    }


def _folds(config: StudyConfig, space: ArmsConfig) -> tuple[str, ...]:
    """Return the folds of the scored cases, if they are given by folds."""
    if config.task.validation == "test":
        return space.folds or config.task.test_folds
    return (config.task.validation_folds or ()) if config.task.validation == "held_out" else ()
