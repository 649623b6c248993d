"""The spine paper's tables beside ours, by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from normsearch.analysis.paper_spine import COLUMNS, compute, describe, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study


def study(network: str = "res_unet3d") -> FakeStudy:
    rows = [
        {"arm": arm, "score": score, "seconds": seconds}
        for arm, score, seconds in (
            ("none", 0.5, 10.0), ("none", 0.6, 30.0), ("IN", 0.9, 22.0), ("IN", 0.8, 26.0),
            ("slabGN-4", 0.7, 20.0), ("IN-axisnone", 0.75, 20.0),
        )
    ]  # fmt: skip
    return arms_study(rows, config={"network": {"name": network}})


def row(df: pd.DataFrame, quantity: str, norm: str) -> pd.Series:
    return df[(df["quantity"] == quantity) & (df["norm"] == norm)].iloc[0]


def test_by_hand() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert len(df) == 2 * (8 + 2)
    own = row(df, "score", "IN")
    assert (own["paper"], own["ours"], own["n"], own["control"]) == (
        0.96,
        pytest.approx(0.85),
        2,
        False,
    )
    assert own["ours_low"] < 0.85 < own["ours_high"]
    time = row(df, "time", "IN")
    assert (time["paper"], time["ours"]) == (pytest.approx(163 / 131), pytest.approx(24 / 20))


def test_a_control_stands_beside_the_norm_it_is_called_by() -> None:
    df = compute(study())
    for norm, paper in (("slabGN-4", 0.926), ("IN-axisnone", 0.960)):
        assert row(df, "score", norm)["paper"] == paper
        assert row(df, "score", norm)["control"]
    assert "* Controls (IN-axisnone, slabGN-4)" in describe(df).replace(
        "slabGN-4, IN-axisnone", "IN-axisnone, slabGN-4"
    )


def test_norms_that_we_have_not_trained_keep_the_papers_number() -> None:
    own = row(compute(study()), "score", "GN-32")
    assert (own["paper"], own["n"]) == (0.916, 0)
    assert pd.isna(own["ours"])


def test_another_network_is_not_put_beside_it() -> None:
    assert len(figure(study()).axes) == 2
    with pytest.raises(StudyError, match="three norms of the paper on res_unet3d, got 4 on unet2d"):
        figure(study("unet2d"))
