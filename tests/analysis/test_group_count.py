"""Score and loss over the number of groups, by hand."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from normsearch.analysis.group_count import COLUMNS, compute, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study


def study(*norms: str) -> FakeStudy:
    rows = [{"arm": norm, "score": 0.1 * place} for place, norm in enumerate(norms)]
    points = [
        {"number": number, "evaluation": evaluation, "loss": number + evaluation / 10}
        for number in range(len(norms))
        for evaluation in (2, 1)
    ]
    return arms_study(rows, points=pd.DataFrame(points))


def test_group_counts_ascend_from_ln_to_in() -> None:
    df = compute(study("IN", "BN", "GN-16", "LN", "GN-2"))
    assert list(df.columns) == COLUMNS
    assert df["quantity"].tolist() == ["score"] * 4 + ["loss"] * 4
    assert df["norm"].tolist() == ["LN", "GN-2", "GN-16", "IN"] * 2
    assert df["groups"].tolist() == [1, 2, 16, np.inf] * 2
    np.testing.assert_allclose(df["mean"][:4], [0.3, 0.4, 0.2, 0.0])
    np.testing.assert_allclose(df["mean"][4:], [3.2, 4.2, 2.2, 0.2])  # at the last evaluation


def test_the_ends_are_named() -> None:
    left, right = figure(study("IN", "GN-4", "LN")).axes
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1\n(LN)", "4", "C\n(IN)"]
    assert right.get_ylabel() == "Training loss at the end"


def test_an_interval_of_losses_ends_at_0() -> None:
    losses = [0.1, 1.9, 0.2, 1.8, 3.0, 3.1]
    rows = [{"arm": norm, "score": 0.5} for norm in ("LN", "LN", "GN-4", "GN-4", "IN", "IN")]
    points = [{"number": n, "evaluation": 1, "loss": loss} for n, loss in enumerate(losses)]
    loss = figure(arms_study(rows, points=pd.DataFrame(points))).axes[1]
    (bar,) = loss.containers
    lines = cast(ErrorbarContainer, bar).lines[2][0]
    lows = [float(segment[0][1]) for segment in lines.get_segments()]
    assert lows[:2] == pytest.approx([0, 0])
    assert lows[2] == pytest.approx(3.05 - 12.7062 * 0.05, abs=1e-3)


def test_two_counts_are_no_curve() -> None:
    with pytest.raises(StudyError, match="three or more of LN, GN-G and IN, got LN, IN"):
        figure(study("IN", "LN", "BN"))
    with pytest.raises(StudyError, match="got none"):
        figure(study("BN"))
