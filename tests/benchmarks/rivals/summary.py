"""Medians, means and paired differences of runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from normsearch.analysis.search_quality import compute


def summarize(runs: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Summarize runs by method and budget.

    Args:
        runs: columns method, seed, trainings and regret.
        reference: the method that the others are paired with, seed by seed.

    Returns:
        The columns of `normsearch.analysis.search_quality.compute` (median with its bootstrap
        interval), then mean, mean_low and mean_high (95% t interval), and for the difference to
        the reference over the seeds that both have: difference, difference_low, difference_high
        and pairs. Intervals are NaN for a single seed.
    """
    wide = runs.pivot(index="seed", columns=["method", "trainings"], values="regret")
    table = compute(runs)
    rows = []
    for method, trainings in zip(table["method"], table["trainings"], strict=True):
        own = wide[method, trainings]
        mean = _mean(own.dropna().to_numpy(float))
        paired = np.empty(0)
        if method != reference and (reference, trainings) in wide:
            paired = (own - wide[reference, trainings]).dropna().to_numpy(float)
        rows.append((*mean, *_mean(paired), len(paired)))
    names = ["mean", "mean_low", "mean_high"]
    names += ["difference", "difference_low", "difference_high", "pairs"]
    return table.join(pd.DataFrame(rows, columns=names))


def tell(summary: pd.DataFrame, reference: str, digits: int) -> str:
    """Return medians, means and differences as three tables of methods by budget."""
    parts = []
    for title, columns in (
        ("Median", ("median", "low", "high")),
        ("Mean", ("mean", "mean_low", "mean_high")),
        (f"Mean minus that of {reference}, paired by seed", ("difference", "difference_low",
                                                              "difference_high")),
    ):  # fmt: skip
        told = summary.assign(
            told=[
                ""
                if np.isnan(row[0])
                else f"{row[0]:.{digits}f} [{row[1]:.{digits}f}, {row[2]:.{digits}f}]"
                for row in summary[list(columns)].to_numpy(float)
            ]
        ).pivot(index="method", columns="trainings", values="told")
        told = told.loc[summary["method"].unique()].reset_index()
        counts = summary.groupby("method")["pairs" if "difference" in columns else "seeds"].min()
        told["seeds"] = told["method"].map(counts)
        parts.append(f"{title} [95% interval]\n{told.to_string(index=False)}")
    return "\n\n".join(parts)


def _mean(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean and 95% t interval."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    mean = float(values.mean())
    if len(values) == 1:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half
