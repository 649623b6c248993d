"""Score over batch size, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from normsearch.analysis import batch_size
from normsearch.analysis.arms import interval
from normsearch.analysis.batch_size import COLUMNS, compute, draw
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study


def study(metric: str = "Dice") -> FakeStudy:
    scores = {
        ("BN", 2): [0.5, 0.7],
        ("BN", 16): [0.8, 0.9],
        ("GN-4", 2): [0.8],
        ("GN-4", 16): [0.8],
    }
    rows = [
        {"arm": f"{norm} {size}", "norm": norm, "batch_size": size, "score": score}
        for (norm, size), several in scores.items()
        for score in several
    ]
    return arms_study([*rows, {"arm": "IN", "batch_size": 2, "score": 0.9}], metric=metric)


def test_by_hand() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert df["norm"].tolist() == ["BN", "BN", "GN-4", "GN-4"]  # IN has one batch size alone
    assert df["batch_size"].tolist() == [2, 16, 2, 16]
    np.testing.assert_allclose(df["mean"], [0.6, 0.85, 0.8, 0.8])
    np.testing.assert_allclose(
        df.loc[0, ["low", "high"]].tolist(), np.clip(interval([0.5, 0.7])[1:3], 0, 1)
    )
    assert df["low"].isna().tolist() == [False, False, True, True]
    assert df["seeds"].tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("metric", "label", "first"),
    [("Dice", "Validation Dice (mean per case)", 0.85), ("accuracy", "Validation error (%)", 15.0)],
)
def test_batches_shrink_to_the_right_and_accuracy_is_drawn_as_error(
    metric: str, label: str, first: float
) -> None:
    ax = Figure(layout="constrained").subplots()
    draw(compute(study(metric)), ax)
    assert ax.get_ylabel() == label
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["16", "2"]
    assert ax.lines[0].get_ydata()[0] == pytest.approx(first)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["BN", "GN-4"]


def test_one_batch_size_is_no_curve() -> None:
    with pytest.raises(StudyError, match="batch_size needs arms of a norm at two batch sizes"):
        batch_size.figure(arms_study([{"arm": "BN", "score": 0.5}]))
