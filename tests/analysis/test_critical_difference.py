"""Mean ranks by hand, pairs told apart by the tests over cases and seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normsearch.analysis.critical_difference import COLUMNS, compute, describe, figure, groups
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study


def study(scores: dict[str, list[float]], seeds: int = 1, noise: float = 0.0) -> FakeStudy:
    """Scores by case; each training is `noise` (a standard deviation) better or worse than that."""
    random = np.random.default_rng(1)
    rows = [
        {"number": 0, "arm": arm, "seed": seed, "fold": None, "case": f"c{place}",
         "score": score + luck}
        for arm, several in scores.items()
        for seed, luck in enumerate(random.normal(0, noise, seeds))
        for place, score in enumerate(several)
    ]  # fmt: skip
    arms = [{"arm": arm, "score": 0.5} for arm in scores]
    return arms_study(arms, scores=pd.DataFrame(rows))


def levels(values: dict[str, float], cases: int = 40) -> dict[str, list[float]]:
    noise = np.random.default_rng(0).normal(0, 0.01, (len(values), cases))
    return {arm: (level + noise[n]).tolist() for n, (arm, level) in enumerate(values.items())}


def test_ranks_by_hand() -> None:
    scores = {"BN": [0.1, 0.2, 0.3] * 2, "IN": [0.2, 0.3, 0.2] * 2, "LN": [0.3, 0.1, 0.1] * 2}
    df = compute(study(scores, seeds=2))
    assert list(df.columns) == COLUMNS
    ranks = df.set_index("arm")["rank"].to_dict()
    assert ranks == pytest.approx({"BN": 2.0, "IN": 5 / 3, "LN": 7 / 3})
    assert df["arm"].tolist() == ["IN", "BN", "LN"]
    assert (df["cases"].iloc[0], df["seeds"].iloc[0]) == (6, 2)


def test_far_arms_are_told_apart_and_near_ones_are_joined() -> None:
    made = study(levels({"a": 0.9, "b": 0.9, "c": 0.5, "d": 0.5}), seeds=5, noise=0.01)
    df = compute(made)
    assert [set(df["arm"][rows]) for rows in groups(df)] == [{"a", "b"}, {"c", "d"}]
    text = describe(df)
    assert "4 arms on 40 cases, scores averaged over 5 seeds" in text
    assert "Holm's correction for 6 pairs" in text
    ax = figure(made).axes[0]
    assert ax.get_xlabel() == "Mean rank over cases (1 is best)"
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0, 1], [2, 3]]


def test_what_seeds_explain_is_not_told_apart() -> None:
    """Nemenyi's test over cases calls these different: every case agrees."""
    made = study(levels({"a": 0.80, "b": 0.83, "c": 0.86}), seeds=3, noise=0.05)
    df = compute(made)
    assert df["rank"].max() - df["rank"].min() > 0.9
    assert groups(df) == [[0, 1, 2]]


def test_joined_arms_need_not_be_neighbours() -> None:
    alike = [("a", "c"), ("b",), ("c", "a"), ("d",)]
    assert groups(pd.DataFrame({"arm": list("abcd"), "alike": alike})) == [[0, 2]]
    chain = [("a", "b"), ("a", "b", "c"), ("b", "c")]
    assert groups(pd.DataFrame({"arm": list("abc"), "alike": chain})) == [[0, 1], [1, 2]]


def test_one_seed_or_an_unfinished_study_is_not_tested() -> None:
    made = study(levels({"a": 0.9, "b": 0.5, "c": 0.1}))
    df = compute(made)
    assert not df["tested"].any()
    assert "Not tested: one seed of an arm" in describe(df)
    assert not figure(made).axes[0].lines
    several = study(levels({"a": 0.9, "b": 0.5, "c": 0.1}), seeds=3, noise=0.01)
    assert compute(several)["tested"].all()
    several.config["space"]["seeds"] = [0, 1, 2]  # of nine trainings three have ended
    df = compute(several)
    assert not df["tested"].any()
    assert "Not finished: nothing is tested" in describe(df)


def test_cases_with_an_empty_truth_are_left_out() -> None:
    made = study(levels({"a": 0.9, "b": 0.5, "c": 0.1}, 8), seeds=2, noise=0.01)
    made.scores["tp_1"], made.scores["fn_1"] = 5, 5
    made.scores.loc[made.scores["case"] == "c1", ["tp_1", "fn_1"]] = 0
    assert compute(made)["cases"].unique().tolist() == [7]


def test_cases_that_an_arm_lacks_are_left_out() -> None:
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    df = compute(study({"a": [*rising, np.nan], "b": [*rising, 0.5], "c": [*rising, 0.7]}))
    assert df["cases"].unique().tolist() == [6]
    with pytest.raises(
        StudyError, match=r"three arms scored on the same 6 cases or more .*, got 2 on 6\."
    ):
        compute(study({"a": rising, "b": rising}))


@pytest.mark.parametrize("cases", [2, 5])
def test_ranks_over_a_handful_of_cases_are_not_drawn(cases: int) -> None:
    with pytest.raises(StudyError, match=rf"the same 6 cases or more .*, got 3 on {cases}\."):
        figure(study(levels({"a": 0.9, "b": 0.5, "c": 0.1}, cases), seeds=3))


def test_where_no_p_value_can_be_small_nothing_is_tested() -> None:
    arms = {"a": 0.9, "b": 0.5, "c": 0.1}
    few = compute(study(levels(arms, 6), seeds=3, noise=0.001))
    assert not few["tested"].any()
    assert "on 6 cases no two of 3 arms can be told apart (that takes 7)" in describe(few)
    enough = compute(study(levels(arms, 7), seeds=3, noise=0.001))
    assert enough["tested"].all()
    assert groups(enough) == []
