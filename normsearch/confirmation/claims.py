"""Which arms of a confirmed search may be called better or worse than the reference.

Each arm was trained at its own learning rate and batch size. It is called better (or worse) only if
it is better than the reference at the reference's own setting and than the reference at the arm's
setting: an intersection-union test, whose p-value is the larger of the two. Holm's correction
applies to this p-value over all arms, so the probability of any wrong claim is at most 5%. A single
norm that the search completed at too few settings gets no verdict, since its setting could make the
difference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from normsearch.confirmation.statistics import NO_DIFFERENCE, compare, holm, verdict

BY_SETTING = "differs by setting"
"""The verdict if an arm differs from the reference at only one of the two settings."""
UNEQUAL = "not tested at equal settings"
"""The verdict if an arm differs from the reference, which was not trained at its setting."""
UNTUNED = "not tuned"
"""The verdict of a single norm that differs but was completed at too few settings."""


COLUMNS = ("beside", "beside_difference", "beside_low", "beside_high", "beside_p", "beside_verdict")


def judged(
    scores: pd.DataFrame,
    table: pd.DataFrame,
    reference: str,
    beside: Mapping[str, str | None],
    untuned: Collection[str] = (),
) -> pd.DataFrame:
    """Return the comparison together with the second comparison of each arm, and joint verdicts.

    Args:
        scores: as for `compare`.
        table: tested result of `compare` for `reference`.
        reference: the arm that all are compared with.
        beside: {arm: the arm that trains the reference at its setting}, None if there is none.
        untuned: single norms that the search completed at too few settings.

    Returns:
        `table` with jointly corrected p_holm and verdict, reference_verdict (of the comparison with
        the reference only) and, for arms with a second comparison, beside (the other arm),
        beside_difference, beside_low, beside_high (95%, simultaneous), beside_p (Holm) and
        beside_verdict.
    """
    found = table.set_index("arm")
    second = _second(scores, found.index, reference, beside)
    first = found["p"]
    larger = first.copy()
    for arm, row in second.items():
        larger[arm] = max(first[arm], row["p"])  # the larger of the two
    found["p_holm"] = [_adjusted(larger, arm, first[arm]) for arm in found.index]
    found["reference_verdict"] = [
        verdict(row["p_holm"], row["difference"], is_reference=arm == reference)
        for arm, row in found.iterrows()
    ]
    ends = found[["total_low", "total_high", "reference_verdict"]].itertuples(index=False)
    found[["total_low", "total_high"]] = np.array([_held(*row) for row in ends], float)
    for column in COLUMNS:
        found[column] = pd.Series(np.nan, found.index, dtype=object)
    for arm, row in second.items():
        p = _adjusted(larger, arm, row["p"])
        claim = verdict(p, row["difference"])
        low, high = _held(row["total_low"], row["total_high"], claim)
        found.loc[arm, list(COLUMNS)] = [beside[arm], row["difference"], low, high, p, claim]
    numbers = ["beside_difference", "beside_low", "beside_high", "beside_p"]
    found[numbers] = found[numbers].astype(float)
    lacking = {
        arm
        for arm, other in beside.items()
        if arm in found.index and other != reference and arm not in second
    }
    found["verdict"] = [_both(found.loc[arm], arm in lacking) for arm in found.index]
    differs = ("better", "worse", BY_SETTING, UNEQUAL)
    for arm in found.index.intersection([*untuned]):
        if found.loc[arm, "verdict"] in differs:
            found.loc[arm, "verdict"] = UNTUNED
    return found.reset_index()


def beats_all(
    scores: pd.DataFrame, mixtures: Sequence[str], singles: Sequence[str]
) -> dict[str, list[str]]:
    """Return the single norms that each mixture is not shown to be better than.

    The p-values of all pairs of a mixture and a single norm are corrected together (Holm).

    Args:
        scores: as for `compare`.
        mixtures: those that are better than the reference.
        singles: the single norms, each at its own best setting.
    """
    rows = {
        (arm, single): row
        for single in singles
        for arm, row in compare(scores, single).set_index("arm").iterrows()
        if arm in mixtures
    }
    adjusted = holm([row["p"] for row in rows.values()])
    found: dict[str, list[str]] = {arm: [] for arm in mixtures}
    for ((arm, single), row), p in zip(rows.items(), adjusted, strict=True):
        if verdict(float(p), row["difference"]) != "better":
            found[str(arm)].append(single)
    return found


def _second(
    scores: pd.DataFrame, arms: pd.Index, reference: str, beside: Mapping[str, str | None]
) -> dict[str, pd.Series]:
    """Return the comparison of each arm with the reference at its setting, if both exist."""
    names = set(scores["arm"])
    tables = {
        other: compare(scores[scores["arm"].isin([*arms, other])], other).set_index("arm")
        for other in dict.fromkeys(beside.values())
        if other is not None and other != reference and other in names
    }
    return {
        arm: pd.Series(tables[other].loc[arm])
        for arm, other in beside.items()
        if arm in arms and other in tables
    }


def _adjusted(larger: pd.Series, arm: str, p: float) -> float:
    """Return Holm's p-value of one comparison of an arm, among the p-values of the others."""
    changed = larger.copy()
    changed[arm] = p
    return float(holm(changed)[changed.index.get_loc(arm)])


def _both(row: pd.Series, lacking: bool) -> str:
    first, second = row["reference_verdict"], row["beside_verdict"]
    if (lacking or second == "not tested") and first in ("better", "worse"):
        return UNEQUAL
    return str(first) if not isinstance(second, str) or first == second else BY_SETTING


def _held(low: float, high: float, claim: str) -> tuple[float, float]:
    """Return an interval that contains 0 if and only if no difference is found."""
    if claim == NO_DIFFERENCE:
        return min(low, 0.0), max(high, 0.0)
    return max(low, 0.0) if claim == "better" else low, min(high, 0.0) if claim == "worse" else high
