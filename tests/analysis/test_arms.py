"""What figures of arms share, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.analysis.arms import (
    SHARE,
    arm_norms,
    arm_trials,
    bars,
    interval,
    metric_name,
    one_arm_each,
    over_seeds,
    scored_on,
    searched,
    seeds_note,
    single_norm,
)
from normsearch.errors import StudyError
from tests.analysis.fake_study import arms_study, fake_study, tiny

ROWS = [
    {"arm": "fast", "norm": "IN", "score": 0.5},
    {"arm": "fast", "norm": "IN", "score": 0.7},
    {"arm": "slow", "norm": "IN", "score": 0.8},
    {"arm": "BN", "score": 0.4},
    {"arm": "BN", "score": np.nan, "state": "FAIL"},
]


def test_an_arm_has_the_norm_that_the_study_says() -> None:
    assert arm_norms(arms_study(ROWS)) == {"fast": "IN", "slow": "IN", "BN": "BN"}
    mixed = {"arms": [{"name": "best", "norm": {"*": "IN", "enc*": "BN"}}]}
    assert arm_norms(arms_study(ROWS, config={"space": mixed})) == {"best": "best"}
    assert arm_norms(fake_study(10)) == {}


def test_complete_trials_of_arms_with_their_norm() -> None:
    table = arm_trials(arms_study(ROWS), "some_figure")
    assert table["norm"].tolist() == ["IN", "IN", "IN", "BN"]
    assert len(searched(arms_study(ROWS))) == 0
    assert len(searched(fake_study(10))) == 10
    for study in (fake_study(10), tiny([], ["a.norm"]), arms_study(ROWS[-1:])):
        with pytest.raises(StudyError, match="some_figure needs a COMPLETE trial of a study with"):
            arm_trials(study, "some_figure")


def test_of_several_arms_the_one_with_the_best_mean() -> None:
    table = one_arm_each(arm_trials(arms_study(ROWS), "x"), ["norm"])
    assert table["arm"].tolist() == ["slow", "BN"]


def test_interval_is_that_of_student() -> None:
    values = [0.5, 0.7, 0.9, np.nan]
    mean, low, high, n = interval(values)
    expected = stats.ttest_1samp(values[:3], 0).confidence_interval(0.95)
    np.testing.assert_allclose([mean, low, high, n], [0.7, expected.low, expected.high, 3])
    np.testing.assert_array_equal(interval([0.5]), (0.5, np.nan, np.nan, 1))
    np.testing.assert_array_equal(interval([]), (np.nan, np.nan, np.nan, 0))


def test_folds_are_averaged_within_a_seed() -> None:
    scores = [("1", 0, 0.2), ("2", 0, 0.4), ("1", 1, 0.6), ("2", 1, 0.8)]
    rows = [{"arm": "a", "fold": fold, "seed": seed, "score": s} for fold, seed, s in scores]
    found = over_seeds(arm_trials(arms_study(rows), "x"), ["arm"], "score")
    np.testing.assert_allclose(
        found[["mean", "low", "high", "seeds"]].to_numpy()[0], interval([0.3, 0.7])
    )


def test_bars_end_where_scores_do() -> None:
    df = pd.DataFrame({"mean": [0.5, 0.9, 0.4], "low": [-0.2, 0.7, np.nan],
                       "high": [0.7, 1.1, np.nan]})  # fmt: skip
    np.testing.assert_allclose(bars(df, SHARE), [[0.5, 0.2, 0.0], [0.2, 0.1, 0.0]])
    np.testing.assert_allclose(bars(df), [[0.7, 0.2, 0.0], [0.2, 0.2, 0.0]])


def test_the_one_norm_of_all_slots() -> None:
    study = tiny([], ["a.norm", "b.norm"])
    both = {"norm.a.norm": "IN", "norm.b.norm": "IN"}
    assert single_norm({**both, "single_norm": "GN-8", "baseline": None}, study) == "GN-8"
    assert single_norm({**both, "baseline": None}, study) == "IN"
    assert single_norm({**both, "norm.b.norm": "LN"}, study) == ""
    assert single_norm({"norm.a.norm": None, "norm.b.norm": None}, study) == ""


def test_words() -> None:
    study = arms_study(ROWS, config={"task": {"validation": "test"}})
    assert metric_name(study) == "Test Dice"
    overfit = arms_study(ROWS, config={"task": {"validation": "training"}})
    assert metric_name(overfit) == "Training Dice"
    assert [scored_on(s) for s in (study, overfit, fake_study(10))] == [
        *("test", "training", "validation"),
    ]
    assert metric_name(fake_study(10, metric="accuracy")) == "Validation accuracy"
    assert seeds_note([1, 1]) == "One seed each: no interval."
    assert seeds_note([3]).startswith("Mean over 3 seeds with its 95")
    assert seeds_note([2, 3]).startswith("Mean over 2 to 3 seeds")
