"""Score and loss over the number of groups, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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


def test_two_counts_are_no_curve() -> None:
    with pytest.raises(StudyError, match="three or more of LN, GN-G and IN, got LN, IN"):
        figure(study("IN", "LN", "BN"))
    with pytest.raises(StudyError, match="got none"):
        figure(study("BN"))
