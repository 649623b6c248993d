"""Contrasts against formulas written out, and the one rule on simulated studies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.confirmation.contrasts import (
    Contrast,
    agreement,
    difference,
    judge,
    mean_of,
    power,
    slope,
    weighted,
)
from normsearch.errors import DataError

RANDOM = np.random.default_rng(3)


def test_the_interval_of_values_is_students() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.5])
    found = Contrast("c", values).interval()
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found == pytest.approx((values.mean(), expected.low, expected.high))
    wider = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 3)
    assert Contrast("c", values).interval(3)[1:] == pytest.approx((wider.low, wider.high))


def test_the_interval_over_seeds_and_cases_written_out() -> None:
    values = RANDOM.normal(0.1, 0.2, (4, 9))
    by_case, by_seed = values.mean(0), values.mean(1)
    cases, seeds = by_case.var(ddof=1) / 9, by_seed.var(ddof=1) / 4
    free = min((cases + seeds) ** 2 / (cases**2 / 8 + seeds**2 / 3), 3 * 3)
    reach = stats.t.ppf(0.975, free) * math.sqrt(cases + seeds)
    mean = values.mean()
    assert Contrast("c", values).interval() == pytest.approx((mean, mean - reach, mean + reach))


@pytest.mark.parametrize("values", [[0.3], [0.2, 0.2, 0.2]])
def test_no_spread_is_no_interval(values: list[float]) -> None:
    _, low, high = Contrast("c", np.array(values)).interval()
    assert math.isnan(low)
    assert math.isnan(high)
    assert Contrast("c", np.array(values)).outcome() == "not distinguishable"


def test_the_interval_of_a_correlation_ends_at_one() -> None:
    values = np.array([0.6, 0.7, 0.95, -0.4])
    assert Contrast("c", values).interval()[2] > 1
    assert Contrast("c", values, unit="rank correlation").interval()[2] == 1


def test_an_exact_value_is_its_own_interval() -> None:
    assert Contrast("c", np.array([22.0]), exact=True).interval() == (22, 22, 22)
    assert Contrast("c", np.array([0.0]), "within", 0.5, exact=True).outcome() == "reproduced"
    assert Contrast("c", np.array([1.0]), "within", 0.5, exact=True).outcome() == "contradicted"


def spread(mean: float, sd: float = 0.01) -> np.ndarray:
    return mean + sd * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("mean", "claim", "margin", "outcome"),
    [
        (0.1, "above", None, "reproduced"),
        (-0.1, "above", None, "contradicted"),
        (0.0, "above", None, "not distinguishable"),
        (0.0, "above", 0.02, "equivalent"),
        (0.02, "above", 0.1, "reproduced"),  # an interval without 0 is a difference, though small
        (0.0, "within", 0.02, "reproduced"),
        (0.02, "within", 0.02, "not distinguishable"),
        (0.1, "within", 0.02, "contradicted"),
        (-0.1, "within", 0.02, "contradicted"),
    ],
)
def test_what_the_interval_excludes_is_what_the_verdict_says(
    mean: float, claim: str, margin: float | None, outcome: str
) -> None:
    assert Contrast("c", spread(mean), claim, margin).outcome() == outcome  # type: ignore[arg-type]


def test_a_statement_holds_where_each_claim_does() -> None:
    holds, opposite = Contrast("a", spread(0.1)), Contrast("b", spread(-0.1))
    open_one, same = Contrast("c", spread(0.0)), Contrast("d", spread(0.0), margin=0.05)
    assert judge([holds]) == "reproduced"
    assert judge([holds, holds]) == "reproduced"
    assert judge([holds, open_one]) == "not distinguishable"
    assert judge([holds, same]) == "equivalent"
    assert judge([holds, same, open_one]) == "not distinguishable"
    assert judge([holds, same, open_one, opposite]) == "contradicted"


def test_a_difference_is_seed_by_seed_and_case_by_case() -> None:
    index = pd.MultiIndex.from_product([[5, 6], ["a", "b", "c"]], names=["seed", "case"])
    table = pd.DataFrame({"BN": np.arange(6.0), "IN": np.arange(6.0) ** 2}, index)
    found = difference(table, "IN", "BN", margin=0.1, unit="Dice")
    assert found.name == "IN above BN"
    assert found.values.tolist() == [[0, 0, 2], [6, 12, 20]]
    assert (found.margin, found.unit) == (0.1, "Dice")


def test_a_slope_is_least_squares_on_doublings() -> None:
    table = pd.DataFrame(RANDOM.normal(size=(5, 4)), range(5), [2, 4, 16, 32])
    found = slope(table, name="s").values
    expected = [np.polyfit(np.log2([2, 4, 16, 32]), row, 1)[0] for row in table.to_numpy()]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(slope(table, name="s", falls=True).values, -np.array(expected))
    linear = [np.polyfit([2, 4, 16, 32], row, 1)[0] for row in table.to_numpy()]
    np.testing.assert_allclose(slope(table, name="s", log2=False).values, linear)


def test_agreement_is_of_independent_pairs() -> None:
    table = pd.DataFrame(RANDOM.normal(size=(5, 6)))
    expected = [stats.spearmanr(table.loc[a], table.loc[b])[0] for a, b in ((0, 1), (2, 3))]
    np.testing.assert_allclose(agreement(table, name="a").values, expected)
    with pytest.raises(DataError, match="must have 4 trainings and 3 columns"):
        agreement(table.head(3), name="a")


def test_what_is_missing_is_told() -> None:
    table = pd.DataFrame({"BN": [1.0, math.nan], "IN": [1.0, 2.0]}, [5, 6])
    with pytest.raises(DataError, match="must be of BN, IN, got LN"):
        difference(table, "LN", "BN")
    with pytest.raises(DataError, match="every training must have a value, and 6 has none"):
        difference(table, "IN", "BN")
    index = pd.MultiIndex.from_tuples([(5, "a"), (5, "b"), (6, "a")], names=["seed", "case"])
    with pytest.raises(DataError, match="every seed must be scored on the same cases"):
        weighted(pd.DataFrame({"BN": [1.0, 2, 3]}, index), {"BN": 1}, "w")
    with pytest.raises(DataError, match=r"must be \(seeds,\) or \(seeds, cases\)"):
        Contrast("c", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="must have a margin above 0"):
        Contrast("c", np.zeros(2), "within")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"values": np.array([0.1, math.nan])}, "every value must be a number"),
        ({"claim": "abvoe"}, "claim must be above or within, got 'abvoe'"),
        ({"margin": -1.0}, "margin must be above 0, got -1.0"),
        ({"margin": 0.02, "published": 0.01}, "margin must be below the published 0.01"),
    ],
)
def test_a_contrast_that_says_nothing_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Contrast(**{"name": "c", "values": np.array([0.1, 0.2]), **given})


def test_power_is_that_of_simulated_studies() -> None:
    random = np.random.default_rng(0)
    draws = random.normal(0.02, 0.015, (4000, 6))
    low = draws.mean(1) - stats.t.ppf(0.975, 5) * draws.std(1, ddof=1) / np.sqrt(6)
    assert power(0.02, 0.015, 6) == pytest.approx((low > 0).mean(), abs=0.02)


def test_what_could_have_been_seen_and_what_it_takes() -> None:
    values = Contrast("c", spread(0.0))
    least = values.detectable()
    assert power(least, float(values.values.std(ddof=1)), 5) == pytest.approx(0.8, abs=0.02)
    seeds = values.seeds_for(least / 2)
    assert seeds is not None
    assert values.detectable(seeds=seeds) <= least / 2 < values.detectable(seeds=seeds - 1)
    alike = Contrast("c", spread(0.0), "within", 0.02)
    assert alike.detectable() > values.detectable()  # both ends must lie inside
    cases = Contrast("c", RANDOM.normal(0, 0.2, 12) + RANDOM.normal(0, 0.01, (5, 12)))
    assert cases.seeds_for(1e-3) is None  # more seeds say nothing of other cases
    assert cases.seeds_for(2.0) == 2


def test_the_error_of_more_seeds_is_that_of_studies_with_more_seeds() -> None:
    random = np.random.default_rng(0)

    def error(seeds: int, wanted: int | None = None) -> float:
        """Root mean square over studies of 40 cases whose SDs are .02, .03 and a residual of .2."""
        found = [
            Contrast("c", random.normal(0, 0.02, (seeds, 1)) + random.normal(0, 0.03, 40)
                     + random.normal(0, 0.2, (seeds, 40)))._error(wanted)[0]
            for _ in range(300)
        ]  # fmt: skip
        return float(np.sqrt(np.mean(np.square(found))))

    assert error(6, 24) == pytest.approx(error(24), rel=0.05)
    assert error(6, 24) < 0.65 * error(6)


def null_values(kind: str, random: np.random.Generator, mean: float = 0.0) -> Contrast:
    """A study of six seeds in which the mean is `mean`, for one kind of test."""
    seeds, cases = 6, 20
    if kind == "difference":
        case = random.normal(0, 0.05, cases)  # how the arms differ from case to case
        seed = random.normal(0, 0.03, (seeds, 1))
        values = mean + case + seed + random.normal(0, 0.05, (seeds, cases))
        return Contrast("c", values, margin=0.05)
    if kind == "slope":
        table = pd.DataFrame(random.normal(0, 0.05, (seeds, 4)), range(seeds), [2, 4, 8, 16])
        table += mean * np.log2([2, 4, 8, 16])
        return slope(table, name="c", margin=0.05)
    if kind == "agreement":
        return agreement(pd.DataFrame(random.normal(size=(2 * seeds, 8))), name="c")
    return mean_of(mean + random.standard_t(5, seeds) * 0.05, "c", margin=0.05)


@pytest.mark.parametrize("kind", ["difference", "slope", "agreement", "mean"])
@pytest.mark.parametrize("comparisons", [1, 3])
def test_of_300_null_worlds_few_say_anything(kind: str, comparisons: int) -> None:
    random = np.random.default_rng([7, comparisons, len(kind)])
    said = 0
    for _ in range(300):
        several = [null_values(kind, random) for _ in range(comparisons)]
        said += judge(several) in ("reproduced", "contradicted")
    assert said <= stats.binom.ppf(0.99, 300, 0.05)  # at 12%, 2 of 100 draws of seeds pass


@pytest.mark.parametrize("kind", ["difference", "slope", "mean"])
def test_equivalence_at_the_margin_is_called_in_5_percent_at_most(kind: str) -> None:
    random = np.random.default_rng([11, len(kind)])
    called = sum(null_values(kind, random, 0.05).outcome() == "equivalent" for _ in range(500))
    assert called <= 25
