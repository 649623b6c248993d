"""Intervals, power and collapses of metrics that 0 and 1 do not bound."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from normsearch.config.metric import Bounds
from normsearch.confirmation.comparison import compared
from normsearch.confirmation.statistics import compare
from normsearch.confirmation.summary_text import _collapses, _precision

ENDS = ["low", "high", "total_low", "total_high"]


def wild(shift: float = 0.0, scale: float = 1.0) -> pd.DataFrame:
    """Scores of two arms that differ so much from seed to seed that intervals pass their ends."""
    rows = [
        (arm, seed, f"c{case}", shift + scale * min(value + 0.01 * case, 1.0))
        for arm in ("BN", "IN")
        for seed, value in enumerate((0.0, 0.9))
        for case in range(8)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "case", "score"])


def test_intervals_end_where_the_metric_does() -> None:
    row = compared(wild(), "BN", bounds=(0.0, 1.0)).table.set_index("arm").loc["IN"]
    assert row[ENDS].tolist() == [0, 1, -1, 1]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_no_end_is_invented_for_a_metric_without_one(
    direction: Literal["maximize", "minimize"],
) -> None:
    scores = wild(scale=20.0)
    plain = compare(scores, "BN").set_index("arm")
    free = compared(scores, "BN", direction=direction).table.set_index("arm")
    np.testing.assert_allclose(free[ENDS].astype(float), plain[ENDS].astype(float), atol=1e-12)
    assert free["low"].min() < -1
    assert free["high"].max() > 21
    ends = (0.0, math.inf)
    one = compared(scores, "BN", direction=direction, bounds=ends).table.set_index("arm")
    assert one["low"].tolist() == [0, 0]
    np.testing.assert_allclose(one["high"], plain["high"])


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_intervals_do_not_depend_on_the_unit(scale: float) -> None:
    found = compared(wild(), "BN").table[ENDS].astype(float) * scale
    other = compared(wild(scale=scale), "BN").table[ENDS].astype(float)
    np.testing.assert_allclose(found, other, atol=1e-9)


@pytest.mark.parametrize(
    ("scale", "bounds", "difference"),
    [(1.0, (0.0, 1.0), 0.02), (100.0, (0.0, 100.0), 2.0), (1.0, (-math.inf, math.inf), None)],
)
def test_power_is_of_differences_that_the_metric_can_have(
    scale: float, bounds: Bounds, difference: float | None
) -> None:
    found = compared(wild(scale=scale), "BN", bounds=bounds)
    assert found.power is not None
    assert found.power.difference == (difference and pytest.approx(difference))
    assert (found.power.found is None) == (difference is None)
    sizes = found.power.detectable
    assert math.isfinite(sizes.low) == math.isinf(bounds[1])
    told: Any = SimpleNamespace(
        course=None, comparison=found, metric="m", reference="BN", cases=8, scored_on="test"
    )
    sentence = list(_precision(told))[1]
    assert ("none, however large" in sentence) == math.isinf(sizes.low)
    assert ("a true difference of" in sentence) == (difference is not None)


@pytest.mark.parametrize(
    ("direction", "usual", "collapsed", "said"),
    [
        ("maximize", 0.8, 0.3, "below half of"),
        ("minimize", 0.8, 1.7, "above twice"),
        ("maximize", -0.8, -1.7, "below twice"),
        ("minimize", -0.8, -0.3, "above half of"),
    ],
)
def test_the_rule_of_collapse_is_the_one_that_is_said(
    direction: Literal["maximize", "minimize"], usual: float, collapsed: float, said: str
) -> None:
    scores = wild(shift=usual, scale=0.01)
    scores.loc[(scores["arm"] == "IN") & (scores["seed"] == 1), "score"] = collapsed
    table = compared(scores, "BN", direction=direction).table
    assert dict(zip(table["arm"], table["collapsed"], strict=True)) == {"BN": 0, "IN": 1}
    found: Any = SimpleNamespace(table=table, direction=direction, metric="error")
    assert f"(mean error {said} the median training's)" in next(iter(_collapses(found)))


@pytest.mark.parametrize("shift", [-0.5, 0.0])
def test_shares_of_scores_on_both_sides_of_0_or_of_a_median_of_0_are_not_counted(
    shift: float,
) -> None:
    scores = wild(shift) if shift else wild().assign(score=0.0)
    table = compared(scores, "BN").table
    assert table[["collapsed", "collapse_bound"]].isna().all(axis=None)
    found: Any = SimpleNamespace(table=table, direction="maximize", metric="error")
    assert not list(_collapses(found))
