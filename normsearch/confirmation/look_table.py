"""The table of a confirmation in looks: verdicts, p-values and intervals by its decisions.

An arm's comparison is that of its last look, in which it and the reference had as many seeds. Its
interval is one of 95% for all comparisons and all looks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from normsearch.confirmation.arm_table import Roles
from normsearch.confirmation.claims import BY_SETTING, COLUMNS, UNEQUAL, UNTUNED
from normsearch.confirmation.look_course import Course
from normsearch.confirmation.looks import Pairs, between, reach
from normsearch.confirmation.pair_tests import ALPHA, Array, p_cases
from normsearch.confirmation.spending import adjusted
from normsearch.confirmation.statistics import NO_DIFFERENCE, holm

NOT_FINISHED, NOT_PURSUED, NOT_TESTED = "not finished", "not pursued", "not tested"
_ENDS = 12
"""With 3, 5 or 8 seeds of one arm and 2, 3, 5 or 8 of another a confirmation can end."""
_TESTS = ("difference", "total_low", "total_high", "p_cases", "p_total", "p", "p_holm")


def not_pursued(seeds: int) -> str:
    """Return the verdict of an arm that was dropped after so many seeds."""
    return f"{NOT_PURSUED} after {seeds} seeds"


def judged_in_looks(table: pd.DataFrame, course: Course, roles: Roles) -> pd.DataFrame:
    """Return the comparison with the tests and verdicts of the looks.

    Args:
        table: result of `compare` for the course's reference.
        course: the looks so far, one at least.
        roles: of the arms.

    Returns:
        `table` with the columns that `judged` adds. difference, total_low, total_high and p-values
        are those of the arm's last look, NaN for arms that are open. p_holm is corrected for arms
        and looks; NaN after two seeds, which claim nothing. Verdicts are those of `judged` but
        ``worse``, and ``not pursued after 3 seeds``; an open arm is ``not finished``.
    """
    found = table.set_index("arm")
    found[[*_TESTS[1:]]] = np.nan
    found["verdict"] = found["reference_verdict"] = "reference"
    for column in COLUMNS:
        found[column] = pd.Series(np.nan, found.index, dtype=object)
    found.loc[course.arms[0], ["total_low", "total_high"]] = 0.0
    for arm, told, seeds in course.decided():
        if arm in found.index:
            for name, value in _row(course, roles, arm, told, seeds).items():
                found.loc[arm, name] = value
    numbers = ["beside_difference", "beside_low", "beside_high", "beside_p"]
    found[numbers] = found[numbers].astype(float)
    return found.reset_index()


def not_beaten_in_looks(
    course: Course, mixtures: Sequence[str], singles: Sequence[str]
) -> dict[str, list[str]]:
    """Return the single norms that each mixture is not shown to be better than.

    Single norms may have fewer seeds than a mixture, because of their scores. Each p-value is
    therefore corrected for every pair of numbers of seeds that a confirmation can end with
    (Bonferroni), and for the pairs of arms (Holm).
    """
    if course.state is None or not mixtures:
        return {}
    names = [(arm, single) for arm in mixtures for single in singles]
    places = [(course.arms.index(arm), course.arms.index(single)) for arm, single in names]
    pairs = Pairs(tuple(arm for arm, _ in places), tuple(other for _, other in places))
    scores = course.scores[course.judged]
    found: dict[str, list[str]] = {arm: [] for arm in mixtures}
    if not names:
        return found
    p = np.minimum(2 * _ENDS * between(course.state, scores, pairs).p, 1.0)
    corrected = holm(np.maximum(p, [_by_cases(scores, arm, other) for arm, other in places]))
    for (arm, single), value in zip(names, corrected, strict=True):
        if not value < ALPHA:
            found[arm].append(single)
    return found


def _row(course: Course, roles: Roles, arm: str, told: str, seeds: int) -> dict[str, Any]:
    """Return the changed columns of one compared arm."""
    if told == "open":
        return {"verdict": NOT_FINISHED, "reference_verdict": NOT_FINISHED}
    place = course.arms.index(arm)
    tests = [
        {"other": course.arms[other], **_test(course, pair, seeds, told)}
        for pair, (own, other) in enumerate(zip(course.pairs.arm, course.pairs.other, strict=True))
        if own == place
    ]
    first, *second = tests
    row = {name: first[name] for name in _TESTS}
    row["reference_verdict"] = first["verdict"]
    second = [test for test in second if not np.isnan(test["p_total"])]
    if second:
        values = ("other", "difference", "total_low", "total_high", "p_holm", "verdict")
        row |= {name: second[0][value] for name, value in zip(COLUMNS, values, strict=True)}
    wanted = roles.beside.get(arm, course.arms[0])
    row["verdict"] = _verdict(told, seeds, tests[: 1 + len(second)], lacking=(
        arm in roles.beside and wanted not in (course.arms[0], arm) and not second
    ))  # fmt: skip
    if arm in roles.untuned and row["verdict"] in ("better", BY_SETTING, UNEQUAL):
        row["verdict"] = UNTUNED
    return row


def _verdict(told: str, seeds: int, tests: list[dict[str, Any]], *, lacking: bool) -> str:
    if np.isnan(tests[0]["p_total"]):
        return NOT_TESTED
    if told == "not pursued":
        return not_pursued(seeds)
    better = [test["verdict"] == "better" for test in tests]
    if lacking and better[0]:
        return UNEQUAL
    if told == "better":
        return "better"
    return BY_SETTING if any(better) else NO_DIFFERENCE


def _test(course: Course, pair: int, seeds: int, told: str) -> dict[str, Any]:
    """Return one comparison at a look; its interval agrees with its verdict."""
    measured, state = course.measured[seeds], course.state
    arm, other = course.pairs.arm[pair], course.pairs.other[pair]
    own = course.pairs.compared.index(arm)
    difference, p = float(measured.difference[pair]), float(measured.p[pair])
    half = float(reach(measured, seeds, len(course.pairs.compared))[pair])
    by_cases = _by_cases(course.scores[seeds], arm, other)
    share = int(state.share[own]) if state else 1
    corrected = float(np.maximum(adjusted(p, seeds, share), by_cases))
    better = told == "better" or (told == "to the end" and corrected < ALPHA and difference > 0)
    low, high = difference - half, difference + half
    if better:
        low = max(low, 0.0)
    elif told == "to the end":
        low, high = min(low, 0.0), max(high, 0.0)
    two_sided = 2 * min(p, 1 - p)
    return {
        "difference": difference,
        "total_low": low,
        "total_high": high,
        "p_cases": by_cases,
        "p_total": two_sided,
        "p": float(np.maximum(two_sided, by_cases)),
        "p_holm": corrected,
        "verdict": "better" if better else NO_DIFFERENCE,
    }


def _by_cases(scores: Array, arm: int, other: int) -> float:
    """Return Wilcoxon's p-value of two arms, over all seeds that each has; NaN without a seed."""
    parts = [one[~np.isnan(one).any(axis=-1)] for one in (scores[other], scores[arm])]
    return float(p_cases(*parts)) if min(map(len, parts)) else float("nan")
