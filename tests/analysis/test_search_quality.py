"""Medians and their intervals by hand, and what the figure shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import binom

from normsearch.analysis.search_quality import compute, draw, main


@pytest.fixture
def runs() -> pd.DataFrame:
    """Two methods, nine seeds: `a` reaches 0.01 to 0.09, `b` the same from 0.02 on; then both 0."""
    rows = [
        (method, seed, trainings, regret if trainings == 10 else 0.0)
        for method, shift in (("default", 0.0), ("random", 0.01))
        for seed, regret in enumerate(np.arange(1, 10) / 100 + shift)
        for trainings in (10, 20)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "trainings", "regret"])


def test_medians_with_their_intervals(runs: pd.DataFrame) -> None:
    df = compute(runs)
    assert df["method"].tolist() == ["default", "default", "random", "random"]
    assert df["trainings"].tolist() == [10, 20, 10, 20]
    assert df["seeds"].tolist() == [9] * 4
    np.testing.assert_allclose(df["median"], [0.05, 0.0, 0.06, 0.0])
    # A resampled median is at most the k-th value if at least five of nine draws are.
    chance = [binom.sf(4, 9, k / 9) for k in range(1, 10)]
    low = next(k for k, share in enumerate(chance, start=1) if share > 0.025)
    assert low == 2
    np.testing.assert_allclose(df.loc[0, ["low", "high"]].astype(float), [0.02, 0.08])
    np.testing.assert_allclose(df.loc[1, ["low", "high"]].astype(float), [0.0, 0.0])
    pd.testing.assert_frame_equal(df, compute(runs))


def test_a_search_without_a_complete_trial_counts_as_the_worst(runs: pd.DataFrame) -> None:
    runs.loc[runs["trainings"] == 10, "regret"] = np.nan
    assert compute(runs)["median"].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_the_figure_names_methods_and_axes(runs: pd.DataFrame) -> None:
    ax = Figure().subplots()
    draw(compute(runs), ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["default", "random"]
    assert ax.get_xlabel() == "Samples spent, in full trainings"
    assert "Dice below the best" in ax.get_ylabel()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.05, 1e-4])  # 0 is shown at the floor
    assert "9 seeds" in " ".join(
        text.get_text()  # type: ignore[attr-defined]
        for text in ax.figure.findobj(lambda a: hasattr(a, "get_text"))
    )


def test_the_command_draws_a_csv(runs: pd.DataFrame, tmp_path: Path) -> None:
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert main([str(tmp_path / "runs.csv"), str(tmp_path / "figure.png")]) == 0
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
