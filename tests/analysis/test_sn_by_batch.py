"""Mean shares over batch sizes, by hand."""

from __future__ import annotations

import pytest

from normsearch.analysis.papers import SN_SHARES
from normsearch.analysis.sn_by_batch import COLUMNS, compute, describe, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study
from tests.analysis.test_sn_by_depth import study


def share(study: FakeStudy, size: int, statistic: str, branch: str) -> float:
    df = compute(study)
    found = df[(df["batch_size"] == size) & (df["statistic"] == statistic)]
    return float(found.loc[found["branch"] == branch, "mean"].item())


def test_the_same_slots_count_at_every_batch_size() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert share(study(), 1, "both", "IN") == pytest.approx(0.7)
    variance = share(study(), 4, "variance", "BN")
    assert variance == pytest.approx(0.33)  # it did not move, and counts
    assert share(study(), 4, "both", "BN") == pytest.approx((0.6 + variance) / 2)
    still = df[df["statistic"] == "both"].groupby("batch_size")[["still", "slots"]].first()
    assert still.to_numpy().tolist() == [[0, 2], [1, 2]]
    assert df.groupby("batch_size")["seeds"].max().tolist() == [2, 1]
    assert "of 2 weights (slots, mean and variance)" in describe(df)
    assert "equal shares (dashed): 0 at 1, 1 at 4." in describe(df)


def test_shares_add_up() -> None:
    sums = compute(study()).groupby(["batch_size", "statistic"])["mean"].sum()
    assert sums.tolist() == pytest.approx([1.0] * len(sums))
    assert all(sum(row.values()) == pytest.approx(1, abs=0.02) for row in SN_SHARES.values())


def test_the_last_panel_shows_the_papers_batch_sizes_too() -> None:
    mean, _, both = figure(study()).axes
    assert [tick.get_text() for tick in mean.get_xticklabels()] == ["4", "1"]
    assert [tick.get_text() for tick in both.get_xticklabels()] == ["32", "16", "8", "4", "2", "1"]


def test_one_batch_size_is_no_trend() -> None:
    rows = [{"arm": "SN", "batch_size": 4, "score": 0.5}]
    learnt = {0: {"a.norm": {"mean": {"IN": 0.8, "LN": 0.1, "BN": 0.1}}}}
    with pytest.raises(StudyError, match="sn_by_batch needs SN arms at two batch sizes"):
        figure(arms_study(rows, learnt_by_trial=learnt))
