"""Importance finds what was planted, and calls noise noise."""

from __future__ import annotations

import numpy as np
import pytest

from normsearch.analysis.importance import COLUMNS, compute, describe
from normsearch.analysis.importance import figure as importance_figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, tiny

SLOTS = ["a.norm", "b.norm", "c.norm"]


def study(planted: float, trials: int = 60, seed: int = 0, drawn: str = "uniform") -> FakeStudy:
    """Random choices; slot b's IN is worth `planted`, the rest is noise of SD 0.01."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(trials):
        norms = {f"norm.{slot}": str(random.choice(["BN", "IN", "LN"])) for slot in SLOTS}
        gain = planted * (norms["norm.b.norm"] == "IN")
        rows.append({**norms, "drawn": drawn, "score": 0.8 + gain + random.normal(0, 0.01),
                     "learning_rate": float(10 ** random.uniform(-3, -1))})  # fmt: skip
    rows[0]["baseline"] = "BN"
    return tiny(rows, SLOTS)


def test_a_planted_effect_is_beyond_noise_and_little_else_is() -> None:
    df = compute(study(0.05), shuffles=39)
    assert list(df.columns) == COLUMNS
    assert df["parameter"].tolist() == [*SLOTS, "learning_rate"] * 2
    assert df["trials"].unique().tolist() == [59]
    assert df["depth"].isna().tolist() == [False, False, False, True] * 2
    for _, part in df.groupby("method"):
        assert part.loc[part["importance"].idxmax(), "parameter"] == "b.norm"
        assert part.set_index("parameter")["beyond_noise"].to_dict() == {
            "a.norm": False, "b.norm": True, "c.norm": False, "learning_rate": False
        }  # fmt: skip
    assert (df["beyond_noise"] == (df["p"] <= 0.05)).all()
    assert (df["beyond_noise"] == (df["importance"] > df["noise"] - 1e-12)).all()
    assert "The 59 of 59 COMPLETE searched trials that were drawn uniformly." in describe(df)


def test_trials_that_were_chosen_adaptively_are_described_and_not_tested() -> None:
    found = study(0.05, drawn="adaptive")
    df = compute(found)
    assert df[["noise", "p"]].isna().all(axis=None)
    assert not df["beyond_noise"].any()
    assert df.loc[df["importance"].idxmax(), "parameter"] == "b.norm"
    assert "Descriptive: trials were chosen adaptively" in describe(df)
    assert not importance_figure(found).legends


def test_noise_is_seldom_beyond_noise() -> None:
    found = [compute(study(0.0, 30, seed), shuffles=19)["beyond_noise"].any() for seed in range(6)]
    assert sum(found) <= 2  # of six at 5%: more in 1 of 450


def test_equal_seeds_give_equal_numbers() -> None:
    first, second = (compute(study(0.02, 20), shuffles=20) for _ in range(2))
    assert first.equals(second)


def test_equal_scores_have_no_importance() -> None:
    found = study(0.05, 20)
    found.table["score"] = 0.5
    with pytest.raises(StudyError, match="and differ in their choices and their scores"):
        importance_figure(found)


def test_too_few_trials() -> None:
    with pytest.raises(StudyError, match="importance needs at least 10 COMPLETE trials"):
        importance_figure(study(0.05, 10))
