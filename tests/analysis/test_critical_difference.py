"""Mean ranks by hand, Nemenyi's critical difference by Demšar's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.critical_difference import COLUMNS, compute, describe, figure, groups
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study


def study(scores: dict[str, list[float]], seeds: int = 1) -> FakeStudy:
    rows = [
        {"number": 0, "arm": arm, "seed": seed, "fold": None, "case": f"c{place}", "score": score}
        for arm, several in scores.items()
        for seed in range(seeds)
        for place, score in enumerate(several)
    ]
    arms = [{"arm": arm, "score": 0.5} for arm in scores]
    return arms_study(arms, scores=pd.DataFrame(rows))


def test_ranks_by_hand() -> None:
    scores = {"BN": [0.1, 0.2, 0.3], "IN": [0.2, 0.3, 0.2], "LN": [0.3, 0.1, 0.1]}
    df = compute(study(scores, seeds=2))
    assert list(df.columns) == COLUMNS
    ranks = df.set_index("arm")["rank"].to_dict()
    assert ranks == pytest.approx({"BN": 2.0, "IN": 5 / 3, "LN": 7 / 3})
    assert df["arm"].tolist() == ["IN", "BN", "LN"]
    assert df["friedman_p"].iloc[0] == pytest.approx(
        stats.friedmanchisquare(*scores.values()).pvalue
    )
    assert (df["cases"].iloc[0], df["seeds"].iloc[0]) == (3, 2)


def test_the_critical_difference_is_demsars() -> None:
    random = np.random.default_rng(0)
    df = compute(study({arm: random.random(14).tolist() for arm in ("a", "b", "c", "d")}))
    # Demšar 2006, section 3.2.2: four classifiers on 14 data sets, q = 2.569: 1.25.
    assert df["difference"].iloc[0] == pytest.approx(1.25, abs=0.005)


def test_far_arms_are_told_apart_and_near_ones_are_joined() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, (4, 40))
    levels = {"a": 0.9, "b": 0.9, "c": 0.5, "d": 0.5}
    scores = {arm: (levels[arm] + noise[n]).tolist() for n, arm in enumerate(levels)}
    df = compute(study(scores))
    assert [set(df["arm"][first : last + 1]) for first, last in groups(df)] == [
        {"a", "b"},
        {"c", "d"},
    ]
    assert "4 arms on 40 cases, scores of one seed" in describe(df)
    assert figure(study(scores)).axes[0].get_xlabel() == "Mean rank over cases (1 is best)"


def test_cases_that_an_arm_lacks_are_left_out() -> None:
    df = compute(study({"a": [0.1, 0.2, np.nan], "b": [0.3, 0.4, 0.5], "c": [0.5, 0.6, 0.7]}))
    assert df["cases"].unique().tolist() == [2]
    with pytest.raises(
        StudyError, match="needs three arms scored on the same two cases or more, got 2"
    ):
        compute(study({"a": [0.1, 0.2], "b": [0.3, 0.4]}))
