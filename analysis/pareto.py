"""Score against training time and peak memory, with the Pareto front.

Memory is that of tensors on a GPU. On a CPU a study records the size of the whole process, which
depends on the worker's history and says nothing about a norm, so no memory is drawn.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import LOWER, arm_norms, metric_name, with_range
from normsearch.analysis.palette import caption_below, norm_colour, norm_marker, norm_order
from normsearch.errors import StudyError

COLUMNS = [
    "number", "norm", "batch_size", "score", "seconds", "memory", "front_seconds", "front_memory",
    "metric",
]  # fmt: skip
COSTS = {"seconds": "Training time (s)", "memory": "Peak memory of tensors (GiB)"}

READING = {
    "pareto": (
        "What a better score costs",
        "Score against training time and, on a GPU, peak memory. Trials on the black line are on "
        "the Pareto front: none is better for as little.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """List the COMPLETE trials with their score, costs and Pareto fronts.

    Returns:
        One row a COMPLETE trial, by number, with columns number, norm (of a single-norm baseline
        or arm; None for a mixture), batch_size, score (0 to 1), seconds (of training and
        validation), memory (peak of tensors, GiB; NaN on a CPU), front_seconds and front_memory (no
        other trial has a higher score for as little, nor as high a score for less), metric.
    """
    table = study.trials()
    if not table.empty:
        table = table[(table["state"] == "COMPLETE") & table["score"].notna()]
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    norms = arm_norms(study)
    arms = table["arm"] if "arm" in table else pd.Series(None, index=table.index, dtype=object)
    found = pd.DataFrame({
        "number": table["number"].astype(int),
        "norm": [
            norms.get(str(arm)) or (baseline if isinstance(baseline, str) else None)
            for arm, baseline in zip(arms, table["baseline"], strict=True)
        ],
        "batch_size": table["batch_size"].astype(float),
        "score": table["score"].astype(float),
        "seconds": table["seconds"].astype(float),
        "memory": table["peak_memory_bytes"].astype(float) / 2**30 if _on_gpu(study) else np.nan,
    })  # fmt: skip
    for cost in COSTS:
        found[f"front_{cost}"] = _front(found, cost, study.direction)
    return found.assign(metric=metric_name(study)).reset_index(drop=True)[COLUMNS]


def _on_gpu(study: StudyLike) -> bool:
    """Whether trials are trained on a GPU."""
    resources = (study.config.get("search") or {}).get("resources") or {}
    return float(resources.get("gpu") or 0) > 0


def _front(df: pd.DataFrame, cost: str, direction: str) -> pd.Series:
    """Return which trials are not dominated in cost and score."""
    sign = 1.0 if direction == "maximize" else -1.0
    known = df.assign(score=sign * df["score"]).dropna(subset=[cost])
    known = known.sort_values([cost, "score"], ascending=[True, False])
    before = known["score"].cummax().shift(fill_value=-np.inf)
    front = known["score"] > before
    return front.reindex(df.index, fill_value=False)


def draw(df: pd.DataFrame, ax: Axes, cost: str = "seconds") -> None:
    """Draw one cost of what `compute` returned: mixtures grey, single norms coloured, the front."""
    mixed = df[df["norm"].isna()]
    if len(mixed):
        ax.scatter(mixed[cost], mixed["score"], s=26, color="#A5A5A5", edgecolors="white",
                   linewidths=0.4, label="mixture of norms")  # fmt: skip
    front = df[df[f"front_{cost}"]].sort_values(cost)
    ax.step(front[cost], front["score"], where="post", color="black", linewidth=1, zorder=1,
            label="Pareto front")  # fmt: skip
    ax.scatter(front[cost], front["score"], s=70, facecolors="none", edgecolors="black",
               linewidths=1, zorder=4)  # fmt: skip
    for norm in norm_order(df["norm"].dropna()):
        own = df[df["norm"] == norm]
        ax.scatter(own[cost], own["score"], s=38, marker=norm_marker(norm), zorder=3,
                   color=norm_colour(norm), edgecolors="#333333", linewidths=0.6,
                   label=norm)  # fmt: skip
    ax.set(xlabel=COSTS[cost], ylim=(_lowest(df), None))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def _lowest(df: pd.DataFrame) -> float | None:
    """Return the lower end of the score axis if there are far outliers, else None."""
    if LOWER in df["metric"].iloc[0]:
        return None
    low, high = np.quantile(df["score"], (0.25, 0.75))
    fence = float(low) - 2 * max(float(high - low), 0.02)
    return fence if df["score"].min() < fence else None


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    lowest = _lowest(df)
    below = 0 if lowest is None else int((df["score"] < lowest).sum())
    note = f" {below} below {lowest:.2f} are left out." if lowest is not None else ""
    return (
        f"{len(df)} COMPLETE trials, one training each, {int(df['norm'].notna().sum())} with a "
        "single norm. Ringed: on the Pareto front, as it is of these trainings: chosen as the best "
        "of many, its scores are optimistic. Times hold for the machine and the load they "
        f"were measured under.{note}"
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure pareto; raises StudyError without two COMPLETE trials."""
    df = compute(study)
    costs = [cost for cost in COSTS if df[cost].notna().any()]
    if len(df) < 2 or not costs:
        raise StudyError(
            f"{study.name}: pareto needs at least two COMPLETE trials with their times, got "
            f"{int(df['seconds'].notna().sum())}."
        )
    fig = Figure(figsize=(2.0 + 3.1 * len(costs), 4.0), layout="constrained")
    axes = np.ravel(fig.subplots(1, len(costs), sharey=True, squeeze=False))
    for ax, cost in zip(axes, costs, strict=True):
        draw(df, ax, cost)
    axes[0].set_ylabel(with_range(df["metric"].iloc[0], df["score"]))
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right center", frameon=False)
    caption_below(fig, describe(df))
    return fig


if __name__ == "__main__":
    sys.exit(command("pareto"))
