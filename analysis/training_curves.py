"""Validation score and training loss over samples seen, for each arm."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import (
    arm_trials,
    by_norm,
    each_seed,
    metric_name,
    one_arm_each,
    samples_unit,
    with_range,
)
from normsearch.analysis.palette import caption_below, line_colour, norm_marker

COLUMNS = [
    "norm", "batch_size", "arm", "samples",
    "score", "score_low", "score_high", "loss", "loss_low", "loss_high", "seeds", "metric", "cases",
]  # fmt: skip

READING = {
    "training_curves": (
        "How training went",
        "Validation score (or test score, where the axis says so) and training loss at each "
        "evaluation point, a line a norm, a column a batch size. Where the loss falls and the "
        "score does not, the norm fits the training subjects alone.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Average score and loss of arms at each evaluation point over seeds.

    Returns:
        One row a norm, batch size and evaluation point, with columns norm, batch_size, arm (of
        several with this norm and batch size the one with the best mean score), samples (seen),
        score (0 to 1), score_low and score_high (lowest and highest seed), loss (mean training
        loss since the point before), loss_low, loss_high, seeds, metric, cases (that the score is
        of; NaN if not known).

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    by = ["norm", "batch_size"]
    table = one_arm_each(arm_trials(study, "training_curves"), by, study.direction).astype(
        {"batch_size": int}
    )
    points = study.history().merge(table[["number", "seed", "arm", *by]], on="number")
    points["cases"] = points.get("cases", np.nan)
    points = each_seed(points, [*by, "arm", "samples"], ["score", "loss", "cases"])
    found = points.groupby([*by, "arm", "samples"], as_index=False, sort=False).agg(
        score=("score", "mean"), score_low=("score", "min"), score_high=("score", "max"),
        loss=("loss", "mean"), loss_low=("loss", "min"), loss_high=("loss", "max"),
        seeds=("seed", "nunique"), cases=("cases", "max"),
    )  # fmt: skip
    return by_norm(found, "batch_size", "samples").assign(metric=metric_name(study))[COLUMNS]


def draw(df: pd.DataFrame, ax: Axes, quantity: str = "score") -> None:
    """Draw one quantity ("score" or "loss") of one batch size: a line a norm, a band its seeds."""
    for norm, own in df.groupby("norm", sort=False):
        colour = line_colour(str(norm))
        x = own["samples"] / samples_unit(df["samples"].max())[0]
        ax.fill_between(x, own[f"{quantity}_low"], own[f"{quantity}_high"], color=colour,
                        alpha=0.13, linewidth=0)  # fmt: skip
        ax.plot(x, own[quantity], color=colour, linewidth=1.5, marker=norm_marker(str(norm)),
                markersize=4, markeredgecolor="white", markeredgewidth=0.4,
                label=norm)  # fmt: skip
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_xlim(left=0)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    seeds = sorted(df["seeds"].unique())
    span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    band = "; bands: lowest to highest seed" if seeds[-1] > 1 else ""
    return (
        f"Mean over {span} seed{'s' if seeds[-1] > 1 else ''}{band}. The loss is the mean over the "
        "samples since the point before. Of several arms with the same norm and batch size the "
        f"one with the best mean score.{_fewer_cases(df)}"
    )


def _fewer_cases(df: pd.DataFrame) -> str:
    """Say so if points before the last score fewer cases than the last one."""
    cases = df["cases"].dropna()
    if cases.nunique() < 2:
        return ""
    return f" Points before the last score {cases.min():.0f} of the {cases.max():.0f} cases."


def figure(study: StudyLike) -> Figure:
    """Return the figure training_curves; raises StudyError without a COMPLETE trial of an arm."""
    df = compute(study)
    sizes = sorted(df["batch_size"].unique())
    width = min(max(6.6, 2.6 + 2.2 * len(sizes)), 14.0)
    fig = Figure(figsize=(width, 5.2), layout="constrained")
    axes = np.asarray(fig.subplots(2, len(sizes), sharex=True, sharey="row", squeeze=False))
    for column, size in enumerate(sizes):
        part = df[df["batch_size"] == size]
        for row, quantity in enumerate(("score", "loss")):
            draw(part, axes[row, column], quantity)
        axes[0, column].set_title(f"batch size {size}")
        axes[1, column].set_xlabel(samples_unit(df["samples"].max())[1])
    axes[0, 0].set_ylabel(with_range(df["metric"].iloc[0], df["score"]))
    axes[1, 0].set_ylabel("Training loss")
    found = {
        label: handle
        for ax in axes[0]
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    norms = [norm for norm in df["norm"].unique() if norm in found]
    fig.legend([found[norm] for norm in norms], norms, loc="outside right center", frameon=False)
    caption_below(fig, describe(df))
    return fig


if __name__ == "__main__":
    sys.exit(command("training_curves"))
