"""The statistics against hand-computed values, scipy, statsmodels and simulated studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.confirmation.power import Components, components
from normsearch.confirmation.score_table import with_empty_truth
from normsearch.confirmation.statistics import compare, holm, pairwise, share_bound
from normsearch.errors import DataError

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


def test_intervals_are_t_over_cases_and_seeds_by_hand() -> None:
    rows = [("a", s, c, v) for s, row in enumerate([[0.5, 0.7, 0.6], [0.6, 0.8, 0.7]])
            for c, v in enumerate(row)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["arm", "seed", "case", "score"])
    row = compare(pd.concat([scores, scores.assign(arm="b")]), "b").set_index("arm").loc["a"]
    # Cases .55, .75, .65: variance .01, no skewness; seeds .6, .7: variance .005.
    parts = [0.01 / 3, 0.005 / 2]
    free = min(sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1), 3 * 1)
    half = stats.t.isf(0.025, free) * np.sqrt(sum(parts))
    assert (row["low"], row["high"]) == pytest.approx((0.65 - half, 0.65 + half))


def test_few_seeds_on_one_side_limit_the_degrees_of_freedom() -> None:
    scores = study({"BN": 0.0, "mix": 0.05}, random=np.random.default_rng(1))
    few = scores[(scores["arm"] == "BN") | (scores["seed"] < 2)]
    row = compare(few, "BN").set_index("arm").loc["mix"]
    table = {arm: part.pivot(index="seed", columns="case", values="score") for arm, part in
             few.groupby("arm")}  # fmt: skip
    away = (table["mix"].mean() - table["BN"].mean()).to_numpy()
    parts = [away.var(ddof=1) / 15, *(table[arm].mean(axis=1).var(ddof=1) / len(table[arm])
                                      for arm in ("BN", "mix"))]  # fmt: skip
    free = sum(parts) ** 2 / sum(v**2 / f for v, f in zip(parts, (14, 4, 1), strict=True))
    t = abs(away.mean()) / np.sqrt(sum(parts))
    assert row["p_total"] == pytest.approx(2 * stats.t.sf(t, min(free, 3)))


def test_paired_trainings_are_compared_seed_by_seed() -> None:
    scores = study({"BN": 0.0, "mix": 0.02}, random=np.random.default_rng(2))
    shared = np.random.default_rng(3).normal(0, 0.1, 5)
    scores["score"] += shared[scores["seed"]]  # what both arms of a seed have in common
    row = compare(scores, "BN", paired=True).set_index("arm").loc["mix"]
    table = {arm: part.pivot(index="seed", columns="case", values="score") for arm, part in
             scores.groupby("arm")}  # fmt: skip
    away = table["mix"] - table["BN"]
    parts = [away.mean().var(ddof=1) / 15, away.mean(axis=1).var(ddof=1) / 5]
    free = min(sum(parts) ** 2 / (parts[0] ** 2 / 14 + parts[1] ** 2 / 4), 12)
    t = abs(away.to_numpy().mean()) / np.sqrt(sum(parts))
    assert row["p_total"] == pytest.approx(2 * stats.t.sf(t, free))
    assert row["p_total"] < compare(scores, "BN").set_index("arm").loc["mix", "p_total"]
    apart = scores.assign(seed=scores["seed"].where(scores["arm"] == "BN", scores["seed"] + 10))
    with pytest.raises(DataError, match="mix: must have a seed in common with BN"):
        compare(apart, "BN", paired=True)


def test_intervals_of_all_differences_agree_with_the_verdicts() -> None:
    random = np.random.default_rng(6)
    shifts = {"BN": 0.0, "a": 0.05, "b": 0.03, "c": 0.03, "d": 0.0, "e": -0.05}
    told = set()
    for _ in range(60):
        result = compare(study(shifts, cases=12, seeds=3, random=random), "BN")
        for row in result.to_dict("records"):
            low, high = row["total_low"], row["total_high"]
            told.add(row["verdict"])
            assert low <= row["difference"] <= high
            assert (low >= 0 and high > 0) == (row["verdict"] == "better")
            assert (high <= 0 and low < 0) == (row["verdict"] == "worse")
    assert told == {"reference", "better", "worse", "no difference found"}


def test_intervals_of_all_differences_are_bonferronis() -> None:
    scores = study({"BN": 0.0, "a": 0.3, "b": -0.3}, random=np.random.default_rng(7))
    result = compare(scores, "BN").set_index("arm")
    alone = compare(scores[scores["arm"] != "b"], "BN").set_index("arm")
    ratio = (result.loc["a", "total_high"] - result.loc["a", "difference"]) / (
        alone.loc["a", "total_high"] - alone.loc["a", "difference"]
    )
    # The same error; a t quantile of .0125 in place of .025, at 8 to 12 degrees of freedom.
    ends = [stats.t.isf(0.0125, f) / stats.t.isf(0.025, f) for f in (12, 4)]
    assert ends[0] - 1e-9 <= ratio <= ends[1] + 1e-9


def test_an_unfinished_comparison_has_means_and_no_tests() -> None:
    scores = study({"BN": 0.0, "mix": 0.5}, random=np.random.default_rng(8))
    result, whole = compare(scores, "BN", tested=False), compare(scores, "BN")
    assert result["mean"].tolist() == whole["mean"].tolist()
    assert result["difference"].tolist() == pytest.approx(whole["difference"].tolist())
    nothing = ["low", "high", "p_cases", "p_total", "p", "p_holm"]
    assert result[nothing].isna().all(axis=None)
    row = result.set_index("arm").loc["mix"]
    assert row[["total_low", "total_high"]].isna().all()
    assert row["verdict"] == "not finished"
    assert list(result.columns) == list(whole.columns)


def test_collapsed_trainings_are_counted_with_the_bound_on_their_share() -> None:
    scores = study({"BN": 0.0, "mix": 0.0}, random=np.random.default_rng(9))
    lost = (scores["arm"] == "mix") & (scores["seed"] == 3)
    result = compare(scores.assign(score=scores["score"].mask(lost, 0.1)), "BN").set_index("arm")
    assert result["collapsed"].to_dict() == {"BN": 0, "mix": 1}
    assert result.loc["BN", "collapse_bound"] == pytest.approx(1 - 0.05 ** (1 / 5))
    bound = result.loc["mix", "collapse_bound"]
    assert stats.binom.cdf(1, 5, bound) == pytest.approx(0.05)
    assert share_bound(5, 5) == 1


def test_pairwise_is_holms_over_all_pairs() -> None:
    scores = study({"a": 0.0, "b": 0.3, "c": 0.3}, random=np.random.default_rng(10))
    found = pairwise(scores)
    raw = [
        compare(scores[scores["arm"].isin(pair)], pair[0])["p"].max()
        for pair in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [found.loc["a", "b"], found.loc["a", "c"], found.loc["b", "c"]] == pytest.approx(
        holm(raw).tolist()
    )
    assert (found.to_numpy() == found.to_numpy().T).all()
    assert pairwise(scores[scores["seed"] == 0]).loc["a", ["b", "c"]].isna().all()


def test_cases_are_left_out_by_their_truth_and_false_positives_on_them_counted() -> None:
    scores = study({"a": 0.0, "b": 0.1}, cases=6, random=np.random.default_rng(11))
    blank = scores["case"] == "c2"
    seen = scores.assign(empty_truth=blank)
    # Arm a finds nothing there in seed 0, and something in all others; b never finds anything.
    quiet = (scores["arm"] == "b") | (scores["seed"] == 0)
    seen.loc[blank, "score"] = np.where(quiet[blank], np.nan, 0.0)
    result = compare(seen, "a").set_index("arm")
    assert result["false_positives"].to_dict() == {"a": 4, "b": 0}
    assert result["cases"].unique().tolist() == [5]
    assert result["empty_cases"].unique().tolist() == [1]
    seen.loc[blank, "score"] = 0.0  # by everybody: the case counts for nobody either
    again = compare(seen, "a").set_index("arm")
    assert again["mean"].to_dict() == result["mean"].to_dict()
    assert again["false_positives"].to_dict() == {"a": 5, "b": 5}


def test_a_truth_is_empty_where_no_class_has_a_voxel_of_it() -> None:
    cases = pd.DataFrame({"score": [0.0, 0.5], "tp_1": [0, 0], "fn_1": [0, 0], "fp_1": [9, 9],
                          "tp_2": [0, 3], "fn_2": [0, 1]})  # fmt: skip
    assert with_empty_truth(cases)["empty_truth"].tolist() == [True, False]
    assert "empty_truth" not in with_empty_truth(cases[["score"]])


def test_a_case_without_a_score_is_left_out_of_every_arm() -> None:
    scores = study({"a": 0.0, "b": 0.1}, cases=6, random=np.random.default_rng(3))
    gone = scores.copy()
    gone.loc[(gone["arm"] == "a") & (gone["seed"] == 1) & (gone["case"] == "c2"), "score"] = np.nan
    result, expected = compare(gone, "a"), compare(scores[scores["case"] != "c2"], "a")
    counted = ["false_positives", "empty_cases"]
    pd.testing.assert_frame_equal(result.drop(columns=counted), expected.drop(columns=counted))
    assert set(result["cases"]) == {5}


def test_one_seed_is_not_tested() -> None:
    scores = study({"a": 0.0, "b": 0.5}, seeds=1, random=np.random.default_rng(4))
    result = compare(scores, "a")
    assert result.loc[result["arm"] == "b", "verdict"].item() == "not tested"


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
