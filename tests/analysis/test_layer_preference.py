"""Preferences against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from normsearch.analysis import available, command, render
from normsearch.analysis.layer_preference import (
    COLUMNS,
    compute,
    describe,
    draw,
    rank,
)
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, fake_study, tiny

SLOTS = ["a.norm", "b.norm"]


def trial(a: str | None, b: str | None, **more: object) -> dict[str, object]:
    return {"norm.a.norm": a, "norm.b.norm": b, **more}


@pytest.fixture
def study() -> FakeStudy:
    """Six trials that count (0, 1, 2, 4, 5, 7), a baseline (3), a failed (6), one not begun (8)."""
    rows = [
        trial("IN", "BN", score=0.80),
        trial("IN", "GN-8", score=0.90),
        trial("BN", "GN-8", state="PRUNED", last_score=0.85),  # at evaluation 2
        trial("BN", "BN", score=0.95, baseline="BN"),
        trial("IN", "IN", state="PRUNED", last_score=0.60),  # at evaluation 5
        trial("BN", "IN", state="PRUNED", last_score=0.70),  # at evaluation 5
        trial("IN", "IN", state="FAIL", last_score=0.99),
        trial("BN", "BN", score=0.70),
        trial(None, None, state="WAITING"),
    ]
    reached = {0: 10, 1: 10, 2: 2, 3: 10, 4: 5, 5: 5, 7: 10}
    points = [
        {"number": n, "evaluation": e} for n, last in reached.items() for e in range(1, last + 1)
    ]
    return tiny(rows, SLOTS, points=pd.DataFrame(points))


def row(df: pd.DataFrame, slot: str, norm: str) -> pd.Series:
    return df[(df["slot"] == slot) & (df["norm"] == norm)].iloc[0]


def test_complete_rank_before_pruned_and_further_pruned_before_earlier(study: FakeStudy) -> None:
    assert rank(study)["number"].tolist() == [1, 0, 7, 5, 4, 2]


def test_counts_by_hand(study: FakeStudy) -> None:
    df = compute(study, top=0.5)  # the best three are 1, 0, 7
    assert list(df.columns) == COLUMNS
    assert df["norm"].tolist() == ["BN", "IN", "GN-8"] * 2
    assert df["depth"].tolist() == [0, 0, 0, 1, 1, 1]
    a_in = row(df, "a.norm", "IN")
    assert (a_in["n_all"], a_in["n_top"]) == (3, 2)
    assert a_in["frequency_all"] == pytest.approx(3 / 6)
    assert a_in["frequency_top"] == pytest.approx(2 / 3)
    assert a_in["preference"] == pytest.approx(1 / 6)
    b_in = row(df, "b.norm", "IN")
    assert (b_in["n_all"], b_in["n_top"]) == (2, 0)
    assert b_in["preference"] == pytest.approx(-1 / 3)
    untried = row(df, "a.norm", "GN-8")
    assert (untried["n_all"], untried["n_top"], untried["preference"]) == (0, 0, 0)


def test_at_least_three_are_best_and_frequencies_add_up(study: FakeStudy) -> None:
    df = compute(study, top=0.01)
    assert df.groupby("slot")["n_top"].sum().tolist() == [3, 3]
    assert df.groupby("slot")["frequency_top"].sum().tolist() == pytest.approx([1, 1])
    assert df.groupby("slot")["preference"].sum().tolist() == pytest.approx([0, 0])


def test_fewer_than_three_trials_are_all_best() -> None:
    df = compute(tiny([trial("IN", "BN", score=0.5), trial("BN", "BN", score=0.4)], SLOTS))
    assert df.groupby("slot")["n_top"].sum().tolist() == [2, 2]
    assert (df["preference"] == 0).all()
    assert "Only 2 searched trials: too few" in describe(df)


def planted(drawn: str) -> FakeStudy:
    """Of 60 trials slot a's IN is in all of the best 15 and in no other; slot b is by chance."""
    random = np.random.default_rng(0)
    rows = [trial("IN" if n < 15 else "BN", str(random.choice(["IN", "BN"])), score=1 - n / 100,
                  drawn=drawn)
            for n in range(60)]  # fmt: skip
    return tiny(rows, SLOTS)


def test_a_planted_preference_has_a_dot_and_chance_has_none() -> None:
    df = compute(planted("uniform"))
    assert row(df, "a.norm", "IN")["beyond_noise"]
    assert row(df, "a.norm", "BN")["beyond_noise"]
    assert not df.loc[df["slot"] == "b.norm", "beyond_noise"].any()
    assert df["uniform"].unique().tolist() == [60]
    text = describe(df)
    assert "Best 15 of 60 searched trials" in text
    assert "Dots (2 of 4 cells)" in text
    assert "Descriptive" not in text


def test_trials_that_were_chosen_adaptively_are_described_and_not_tested() -> None:
    df = compute(planted("adaptive"))
    assert row(df, "a.norm", "IN")["preference"] == pytest.approx(1 - 15 / 60)
    assert not df["beyond_noise"].any()
    assert "Descriptive: trials were chosen adaptively (0 of 60 drawn uniformly" in describe(df)


def test_what_a_search_hardly_tried_is_hatched_and_named() -> None:
    rows = [trial("IN", "LN" if n == 0 else "IN", score=n / 10) for n in range(9)]
    df = compute(tiny([*rows, trial("BN", "BN", score=0.95), trial("IN", "BN", score=0.1)], SLOTS))
    tried = df.set_index(["slot", "norm"])["n_all"].to_dict()
    assert tried == {("a.norm", "BN"): 1, ("a.norm", "IN"): 10, ("a.norm", "LN"): 0,
                     ("b.norm", "BN"): 2, ("b.norm", "IN"): 8, ("b.norm", "LN"): 1}  # fmt: skip
    text = describe(df)
    assert "hatched (3 of 5 cells): hardly tried, in fewer than 4 trials." in text
    assert text.endswith("The search hardly tried BN, LN in most slots.")
    ax = Figure(figsize=(7, 8), layout="constrained").subplots()
    draw(df, ax)
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    corners = [cast(Rectangle, patch).get_xy() for patch in hatched]
    assert corners == [(0, 0), (0, 1), (2, 1)]
    many = compute(planted("uniform"))
    assert "hatched (0 of 4 cells)" in describe(many)
    assert "The search hardly tried" not in describe(many)


def test_tuned_single_norms_are_left_out_like_baselines() -> None:
    rows = [
        trial("IN", "IN", score=0.9, single_norm="IN", drawn="given"),
        trial("BN", "BN", score=0.8, single_norm="BN", drawn="uniform"),
        trial("IN", "BN", score=0.7, single_norm=None, drawn="given"),
        trial("IN", "IN", score=0.95, baseline="IN", single_norm="IN", drawn="given"),
    ]
    assert rank(tiny(rows, SLOTS))["number"].tolist() == [1, 2]


@pytest.mark.parametrize("top", [0.0, -1.0, 1.5])
def test_top_must_be_a_share(study: FakeStudy, top: float) -> None:
    with pytest.raises(StudyError, match=r"top must lie in \(0, 1\], got"):
        compute(study, top=top)


def test_draw_shows_every_slot_and_norm() -> None:
    study = fake_study()
    df = compute(study)
    assert len(df) == 22 * df["norm"].nunique()
    ax = Figure(figsize=(7, 8), layout="constrained").subplots()
    draw(df, ax)
    assert ax.get_xlabel() == "Normalization"
    assert ax.get_ylabel() == "Slot, in order of depth"
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [slot.removesuffix(".norm") for slot in study.slots]
    assert all(label.get_fontsize() >= 8 for label in [*ax.get_yticklabels(), *ax.texts])
    bar = ax.collections[0].colorbar
    assert bar is not None
    assert "percentage points" in bar.ax.get_ylabel()
    low, high = ax.collections[0].get_clim()
    assert low == pytest.approx(-high)


def test_without_a_searched_trial_there_is_no_figure() -> None:
    only = tiny([trial("IN", "IN", score=0.9, baseline="IN")], SLOTS)
    assert compute(only).empty
    with pytest.raises(StudyError, match="needs at least one COMPLETE or PRUNED trial"):
        render("layer_preference", only)
    assert available(only) == ["search_history"]
    assert compute(FakeStudy(pd.DataFrame(), SLOTS)).empty


def test_main_writes_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normsearch.load_study", lambda name: fake_study(12), raising=False)
    file = tmp_path / "figure.png"
    assert command("layer_preference", ["fake", "-o", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")
