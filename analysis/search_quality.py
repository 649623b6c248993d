"""How far from the best there is does each search method end, for the samples it spends?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from normsearch.analysis import save
from normsearch.analysis.palette import caption

_DRAWS = 2000  # bootstrap samples
_FLOOR = 1e-4  # the scores' last digit; a regret of 0 is drawn here, for the axis is logarithmic
_COLOURS = ("#CC3311", "#0077BB", "#555555", "#AAAAAA", "#009988", "#EE7733", "#33BBEE")
_STYLES = ("-", "--", ":", "-.")


def compute(runs: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Summarize replays (``tests/benchmarks/search_quality.py``) over their seeds.

    Args:
        runs: columns method, seed, trainings (samples spent, in full trainings) and regret (score
            below the best there is; NaN before a trial was complete, taken as the worst).
        seed: of the bootstrap.

    Returns:
        One row a method and number of trainings, in the order of `runs`: method, trainings, median
        (of the regret), low and high (its 95% percentile bootstrap interval), seeds.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for (method, trainings), group in runs.groupby(["method", "trainings"], sort=False):
        regrets = group["regret"].fillna(1.0).to_numpy()
        draws = rng.integers(len(regrets), size=(_DRAWS, len(regrets)))
        low, high = np.quantile(np.median(regrets[draws], axis=1), (0.025, 0.975))
        rows.append((method, trainings, float(np.median(regrets)), low, high, len(regrets)))
    return pd.DataFrame(rows, columns=["method", "trainings", "median", "low", "high", "seeds"])


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: median regret over budget, a band for its interval."""
    for place, (method, group) in enumerate(df.groupby("method", sort=False)):
        colour, style = _COLOURS[place % len(_COLOURS)], _STYLES[place // len(_COLOURS)]
        shown = group[["median", "low", "high"]].clip(lower=_FLOOR)
        ax.fill_between(group["trainings"], shown["low"], shown["high"], color=colour, alpha=0.13,
                        linewidth=0)  # fmt: skip
        width = 2.2 if method == "default" else 1.3
        ax.plot(group["trainings"], shown["median"], color=colour, linestyle=style, marker="o",
                markersize=3.5, linewidth=width, label=str(method))  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="Samples spent, in full trainings",
           ylabel="Regret (Dice below the best there is)")  # fmt: skip
    ax.set_xticks(sorted(df["trainings"].unique()))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter("")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    caption(ax, describe(df), indent=-34)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of `draw`."""
    return (
        f"Median over {df['seeds'].max()} seeds with its 95\u00a0% bootstrap interval. "
        f"A regret of 0 is drawn at {_FLOOR}."
    )


def figure(df: pd.DataFrame) -> Figure:
    """Return the figure of what `compute` returned."""
    fig = Figure(figsize=(7.0, 4.6), layout="constrained")
    draw(df, fig.subplots())
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the CSV of a benchmark's runs: ``RUNS.csv FIGURE``."""
    runs, picture = sys.argv[1:] if argv is None else argv
    save(figure(compute(pd.read_csv(runs))), picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
