"""The statistics against hand-computed values, scipy, statsmodels and simulated studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.errors import DataError
from normsearch.evidence.power import Components, components, power
from normsearch.evidence.statistics import bootstrap_interval, compare, friedman, holm, summary

SPREAD = Components(seed=0.02, interaction=0.04, case=0.1)


def study(
    shifts: dict[str, float], *, cases: int = 15, seeds: int = 5, random: np.random.Generator
) -> pd.DataFrame:
    """Scores of made-up trainings: case + arm + arm by case + training, all normal."""
    case = random.normal(0.8, SPREAD.case, cases)
    rows = []
    for arm, shift in shifts.items():
        own = case + shift + random.normal(0, SPREAD.interaction / np.sqrt(2), cases)
        for seed in range(seeds):
            scores = own + random.normal(0, SPREAD.seed)
            rows += [(arm, seed, f"c{i}", score) for i, score in enumerate(scores)]
    return pd.DataFrame(rows, columns=["arm", "seed", "case", "score"])


def test_holm_by_hand() -> None:
    # sorted: .005·4 = .02, .01·3 = .03, .03·2 = .06, .04·1 = .04 -> .06 (never falls)
    found = holm([0.01, 0.04, np.nan, 0.03, 0.005])
    assert found[[4, 0, 3, 1]] == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert np.isnan(found[2])


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.1, 200)
    low, high = bootstrap_interval([*values, np.nan])
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)
    assert bootstrap_interval([0.5]) == (0.5, 0.5)


def test_compare_gives_scipys_p_values_case_by_case_and_the_larger_of_both() -> None:
    scores = study({"BN": 0.0, "mix": 0.05, "IN": -0.2}, random=np.random.default_rng(1))
    result = compare(scores, "BN").set_index("arm")
    table = {arm: part.pivot(index="seed", columns="case", values="score") for arm, part in
             scores.groupby("arm")}  # fmt: skip
    for arm in ("mix", "IN"):
        row = result.loc[arm]
        by_case = stats.wilcoxon(table[arm].mean(), table["BN"].mean()).pvalue
        assert row.p_cases == pytest.approx(by_case)
        away = (table[arm].mean() - table["BN"].mean()).to_numpy()
        errors = [away.var(ddof=1) / 15]
        errors += [table[name].mean(axis=1).var(ddof=1) / 5 for name in (arm, "BN")]
        free = sum(errors) ** 2 / (errors[0] ** 2 / 14 + errors[1] ** 2 / 4 + errors[2] ** 2 / 4)
        free = min(free, 1.5 * (4 + 4))
        by_both = 2 * stats.t.sf(abs(away.mean()) / np.sqrt(sum(errors)), free)
        assert row.p_total == pytest.approx(by_both)
        assert row.p == max(row.p_cases, row.p_total)
        assert row.difference == pytest.approx(
            table[arm].to_numpy().mean() - table["BN"].to_numpy().mean()
        )
    assert result.loc[["mix", "IN"], "p_holm"].tolist() == pytest.approx(
        holm(result.loc[["mix", "IN"], "p"]).tolist()
    )
    assert result.loc["IN", "verdict"] == "worse"
    assert result.loc["BN", "verdict"] == "reference"
    assert list(result["mean"]) == sorted(result["mean"], reverse=True)


def test_friedman_is_scipys_over_cases() -> None:
    scores = study({"a": 0.0, "b": 0.1, "c": 0.0}, random=np.random.default_rng(2))
    means = scores.groupby(["arm", "case"], sort=False)["score"].mean().unstack("case")
    expected = stats.friedmanchisquare(*means.to_numpy())
    assert friedman(scores) == pytest.approx((expected.statistic, expected.pvalue))
    with pytest.raises(DataError, match="three arms or more, got a, b"):
        friedman(scores[scores["arm"] != "c"])


def test_a_case_without_a_score_is_left_out_of_every_arm() -> None:
    scores = study({"a": 0.0, "b": 0.1}, cases=6, random=np.random.default_rng(3))
    gone = scores.copy()
    gone.loc[(gone["arm"] == "a") & (gone["seed"] == 1) & (gone["case"] == "c2"), "score"] = np.nan
    result, expected = compare(gone, "a"), compare(scores[scores["case"] != "c2"], "a")
    pd.testing.assert_frame_equal(result, expected)
    assert set(result["cases"]) == {5}


def test_one_seed_is_not_tested_and_says_so() -> None:
    scores = study({"a": 0.0, "b": 0.5}, seeds=1, random=np.random.default_rng(4))
    result = compare(scores, "a")
    assert result.loc[result["arm"] == "b", "verdict"].item() == "not tested"
    assert summary(result) == "Not tested for want of a second seed: b."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="seed"), "no seed"),
        (lambda t: t[t["arm"] != "a"], "reference must be one of b, got 'a'"),
        (
            lambda t: t.drop(t[(t["arm"] == "b") & (t["case"] == "c1")].index),
            "on every case, no c1",
        ),
        (lambda t: t.assign(score=np.nan), "got none"),
    ],
)
def test_what_cannot_be_compared(change: object, says: str) -> None:
    scores = study({"a": 0.0, "b": 0.1}, cases=3, random=np.random.default_rng(5))
    with pytest.raises(DataError, match=says):
        compare(change(scores), "a")  # type: ignore[operator]


def test_components_find_the_spreads_that_were_put_in() -> None:
    arms = {str(i): 0.0 for i in range(6)}
    found = components(study(arms, cases=400, seeds=40, random=np.random.default_rng(6)))
    assert found.seed == pytest.approx(SPREAD.seed, rel=0.1)
    assert found.interaction == pytest.approx(SPREAD.interaction, rel=0.05)
    assert found.case == pytest.approx(SPREAD.case, rel=0.1)


@pytest.mark.usefixtures("without_intervals")
def test_no_true_difference_is_called_one_in_at_most_five_percent_of_500_studies() -> None:
    random = np.random.default_rng(7)
    arms = {"BN": 0.0, "IN": 0.0, "mix": 0.0}
    wrong = sum(
        compare(study(arms, random=random), "BN")["verdict"].isin(["better", "worse"]).any()
        for _ in range(500)
    )
    assert wrong / 500 <= 0.05


@pytest.mark.usefixtures("without_intervals")
def test_cases_alone_would_call_seeds_a_difference() -> None:
    """Why there is more than the test over cases: alone it fails its level on null studies."""
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(200):
        result = compare(study({"BN": 0.0, "mix": 0.0}, random=random), "BN")
        wrong += bool((result["p_cases"] < 0.05).any())
    assert wrong / 200 > 0.10


@pytest.mark.usefixtures("without_intervals")
@pytest.mark.parametrize(("shift", "seeds"), [(0.02, 5), (0.05, 5), (0.05, 3)])
def test_a_true_difference_is_found_as_often_as_power_says(shift: float, seeds: int) -> None:
    stated = power(SPREAD, shift, cases=15, seeds=seeds)
    random = np.random.default_rng(8)
    found = sum(
        compare(study({"a": 0.0, "b": shift}, seeds=seeds, random=random), "a")["verdict"]
        .eq("better")
        .any()
        for _ in range(300)
    )
    assert found / 300 == pytest.approx(stated, abs=0.09)  # three standard errors of 300


def test_summary_in_plain_words() -> None:
    scores = study({"BN": 0.0, "mix": 0.3, "IN": 0.0}, random=np.random.default_rng(9))
    text = summary(compare(scores, "BN"))
    assert text.startswith("Better than BN: mix (+0.")
    assert text.endswith("; no difference found between BN and IN.")
