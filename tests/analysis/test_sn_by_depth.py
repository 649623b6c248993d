"""Learnt weights of SN arms in each slot, by hand; the slots that have not chosen."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from normsearch.analysis.sn_by_depth import COLUMNS, compute, describe, draw, figure
from normsearch.analysis.sn_weights import distance_moved
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study

THIRDS = {"IN": 0.34, "LN": 0.33, "BN": 0.33}


def study() -> FakeStudy:
    """Batch 1: IN .6 and .8 (BN is out); batch 4: the mean chose BN, the variance nothing."""
    rows = [
        {"arm": "SN 1", "norm": "SN", "batch_size": 1, "score": 0.5},
        {"arm": "SN 1", "norm": "SN", "batch_size": 1, "score": 0.6},
        {"arm": "SN 4", "norm": "SN", "batch_size": 4, "score": 0.7},
        {"arm": "BN", "batch_size": 4, "score": 0.7},
    ]
    ones = [{"IN": share, "LN": 1 - share, "BN": 0.0} for share in (0.6, 0.8)]
    four = {"mean": {"IN": 0.2, "LN": 0.2, "BN": 0.6}, "variance": THIRDS}
    learnt = {n: {"a.norm": {"mean": one, "variance": one}} for n, one in enumerate(ones)}
    return arms_study(rows, learnt_by_trial={**learnt, 2: {"a.norm": four}})


def test_by_hand() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert len(df) == 3 * 2 * 3
    own = df[(df["batch_size"] == 1) & (df["statistic"] == "mean") & (df["branch"] == "IN")]
    assert own["weight"].tolist() == [0.6, 0.8]
    assert own["seed"].tolist() == [0, 1]
    assert own["moved"].tolist() == pytest.approx([0.1, 0.3])  # from a half: BN is out


def test_a_branch_that_is_out_has_no_share_to_move_from() -> None:
    assert distance_moved({"IN": 0.5, "LN": 0.5, "BN": 0.0}) == 0
    assert distance_moved({"IN": 0.5, "LN": 0.25, "BN": 0.25}) == pytest.approx(1 / 6)


def test_what_has_not_moved_is_hatched_and_counted() -> None:
    df = compute(study())
    assert "Hatched: 1 of 4 bars" in describe(df)
    part = df[df["batch_size"] == 4]
    hatched = []
    for statistic in ("mean", "variance"):
        ax = Figure().subplots()
        draw(part, ax, statistic)
        hatched.append({bar.get_hatch() for bar in ax.patches})
    assert hatched == [{None}, {"////"}]
    made = figure(study())
    assert [ax.get_title() for ax in made.axes[:2]] == ["batch size 1", "batch size 4"]


def test_without_an_arm_of_sn_there_is_no_figure() -> None:
    with pytest.raises(StudyError, match="sn_by_depth needs a COMPLETE trial of an arm with SN"):
        compute(arms_study([{"arm": "BN", "score": 0.5}]))
