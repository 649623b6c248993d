"""The result of a study of fixed trainings: the comparison and its precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.metric import ANY, Bounds, Direction
from normsearch.config.reading import read_recorded_study
from normsearch.confirmation.arm_table import Roles, described, read_surfaces, roles_of, unit_of
from normsearch.confirmation.claims import beats_all, judged
from normsearch.confirmation.power import Components, Precision, Range, components, precision
from normsearch.confirmation.score_table import score_table, with_empty_truth
from normsearch.confirmation.statistics import compare
from normsearch.errors import StudyError
from normsearch.storage.records import StudyRecord

SHARE, DIFFERENCE = 0.8, 0.02
SCORED_ON = {"held_out": "validation", "training": "training", "test": "test"}


@dataclass(frozen=True)
class Power:
    """The power of a comparison like that of `arm` with the reference.

    `found`: how often a true `difference`, a fiftieth of the metric's range, is found; None for a
    metric without a range. `detectable`: the true difference that is found in a `share` of such
    studies, infinite if none that the metric can have is. For a mixture, both comparisons must find
    it.
    """

    arm: str
    difference: float | None
    found: Range | None
    share: float
    detectable: Range


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
    were missed, and how many there are. `hd95_unit`: ``mm`` or ``pixels``.
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


def compared(
    scores: pd.DataFrame,
    reference: str,
    *,
    roles: Roles | None = None,
    tested: bool = True,
    direction: Direction = "maximize",
    bounds: Bounds = ANY,
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

    Raises:
        DataError: as for `compare`.
    """
    roles = roles or Roles()
    if direction == "minimize":  # the negatives are compared, and told with their own sign
        turned = scores.assign(score=-scores["score"])
        ends = -bounds[1], -bounds[0]
        found = compared(turned, reference, roles=roles, tested=tested, bounds=ends)
        return replace(found, table=negated(found.table))
    added = {other for other in roles.beside.values() if other} - {*roles.singles, *roles.mixtures}
    if not tested:
        return Comparison(compare(scores, reference, tested=False), {}, None, None)
    own = scores[~scores["arm"].isin(added)]
    table = compare(own, reference)
    table = _within(judged(scores, table, reference, roles.beside, roles.untuned), bounds)
    winners = table.loc[table["verdict"] == "better", "arm"]
    better = [str(arm) for arm in winners if arm in roles.mixtures]
    singles = [arm for arm in roles.singles if arm != reference and arm in set(table["arm"])]
    not_beaten = _not_beaten(own, better, singles, roles.untuned)
    spread = power = None
    if min(table["seeds"].min(), table["cases"].min(), len(table)) > 1:
        spread, power = components(scores), _power(scores, table, reference, roles, bounds)
    return Comparison(_with_added(table, scores, reference), not_beaten, spread, power)


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
    means = compare(scores, reference, tested=False)
    rows = means[~means["arm"].isin(table["arm"])].assign(verdict="")
    if rows.empty:
        return table
    found = pd.concat([table, rows], ignore_index=True)
    return found.sort_values("mean", ascending=False, ignore_index=True)


def _power(
    scores: pd.DataFrame, table: pd.DataFrame, reference: str, roles: Roles, bounds: Bounds
) -> Power | None:
    """Return the power for the search's best mixture, else for the arm with the median interval."""
    values = score_table(scores)
    width = table.set_index("arm")["total_high"] - table.set_index("arm")["total_low"]
    width = width[width.index != reference].sort_values()
    arm = next((name for name in roles.mixtures if name in width), width.index[len(width) // 2])
    beside = roles.beside.get(arm)
    others = dict.fromkeys([reference, beside if beside in values.arms else reference])
    found = [
        precision(values.values(other), values.values(arm), comparisons=len(width))
        for other in others
        if other is not None
    ]
    if all(one.needed.max() == one.needed.min() for one in found):  # no spread
        return None
    each = SHARE ** (1 / len(found))
    span = bounds[1] - bounds[0]
    difference = DIFFERENCE * span if span < math.inf else None
    needed = [one.detectable(each) for one in found]
    least = max(one.detectable(SHARE).low for one in found)
    sizes = max(one.estimate for one in needed), least, max(one.high for one in needed)
    return Power(
        arm=str(arm),
        difference=difference,
        found=None if difference is None else _all_find(found, difference),
        share=SHARE,
        detectable=Range(*(size if size <= span else math.inf for size in sizes)),
    )


def _all_find(found: list[Precision], difference: float) -> Range:
    """Return how often every comparison finds a true `difference`."""
    powers = [one.power(difference) for one in found]
    low = estimate = 1.0
    for one in powers:  # a lower bound, since the two comparisons share an arm
        low, estimate = low * one.low, estimate * one.estimate
    return Range(estimate, low, min(one.high for one in powers))


def _arms_of(record: StudyRecord, config: StudyConfig) -> ArmsConfig:
    if not isinstance(config.space, ArmsConfig):
        raise StudyError(
            f"{record.name}: must be a study of fixed trainings, and is a search; confirm what it "
            f"found with `normsearch confirm {record.name}`."
        )
    return config.space


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
    whole = _whole_seeds(with_empty_truth(record.cases(), record.of_class))
    roles = roles_of(space)
    first, reference = _reference(space, roles, set(whole["arm"]), record.direction)
    if reference is None:
        raise StudyError(
            f"{record.name}: must have a finished training of an arm to compare with, and has "
            f"none; see `normsearch status {record.name}`."
        )
    ended = int(trials["state"].isin(["COMPLETE", "FAIL"]).sum())
    found = compared(
        whole,
        reference,
        roles=roles,
        tested=ended >= space.size,
        direction=record.direction,
        bounds=config.bounds,
    )
    surfaces = read_surfaces(record)
    failed = trials[trials["state"] == "FAIL"]
    failures = {str(arm): list(part["failure"]) for arm, part in failed.groupby("arm")}
    return Confirmation(
        study=record.name,
        metric=record.case_metric,
        chosen_by=record.metric,
        direction=record.direction,
        finished=ended >= space.size,
        trainings=(ended, space.size),
        scored_on=SCORED_ON[config.task.validation],
        reference=reference,
        first_choice=first,
        seeds=len(space.seeds),
        cases=int(found.table["cases"].max()),
        cases_left_out=whole["case"].nunique() - int(found.table["cases"].max()),
        folds=_folds(config, space),
        comparison=found,
        table=described(found.table, config, trials, surfaces),
        failures=failures,
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


def _whole_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the seeds that have a score of every case (a fold may be missing)."""
    counts = scores.groupby(["arm", "seed"])["case"].transform("nunique")
    return scores[counts == scores["case"].nunique()]


def _reference(
    space: ArmsConfig, roles: Roles, trained: set[str], direction: Direction
) -> tuple[str, str | None]:
    """Return the planned reference, and the arm to compare with; None if none was trained."""
    first = space.reference or space.arms[0].name
    scores: Mapping[str, float] = space.origin.scores if space.origin else {}
    sign = -1 if direction == "maximize" else 1
    order = [first, *sorted(roles.singles, key=lambda name: sign * scores.get(name, 0.0))]
    return first, next((name for name in order if name in trained), None)
