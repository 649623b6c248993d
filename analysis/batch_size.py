"""How does each norm bear small batches? Wu & He's Figure 1 (2018) on a study's own task."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import (
    arm_trials,
    bars,
    by_norm,
    metric_name,
    one_arm_each,
    over_seeds,
    seeds_note,
)
from normsearch.analysis.palette import caption, line_colour, norm_marker
from normsearch.errors import StudyError

COLUMNS = ["norm", "batch_size", "arm", "mean", "low", "high", "seeds", "metric"]

READING = {
    "batch_size": (
        "How each norm bears small batches",
        "Final score of each norm over the batch size, the same samples everywhere. A line that "
        "falls to the right loses by small batches. Intervals that overlap widely tell no "
        "difference.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Average the final scores of arms over seeds, for each norm and batch size.

    Norms with one batch size alone are left out.

    Returns:
        One row a norm and batch size, in the palette's order, with columns norm, batch_size, arm
        (of several with this norm and batch size the one with the best mean), mean (score, 0 to
        1), low and high (its 95 % t interval over seeds; NaN for one seed), seeds, metric (what
        the score is, for people).

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    by = ["norm", "batch_size"]
    table = one_arm_each(arm_trials(study, "batch_size"), by, study.direction)
    found = over_seeds(table.astype({"batch_size": int}), [*by, "arm"], "score", study.bounds)
    found = found[found.groupby("norm")["batch_size"].transform("nunique") > 1]
    return by_norm(found, "batch_size").assign(metric=metric_name(study))[COLUMNS]


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned, batches shrinking to the right; accuracy as error, as there."""
    metric = str(df["metric"].iloc[0])
    error = metric.endswith("accuracy")
    sizes = sorted(df["batch_size"].unique(), reverse=True)
    norms = list(df["norm"].unique())
    for place, norm in enumerate(norms):
        own = df[df["norm"] == norm].sort_values("batch_size", ascending=False)
        aside = 0.05 * (place - (len(norms) - 1) / 2)  # so that intervals do not hide each other
        x = [sizes.index(size) + aside for size in own["batch_size"]]
        y = 100 * (1 - own["mean"]) if error else own["mean"]
        ends = 100 * bars(own)[::-1] if error else bars(own)
        colour = line_colour(norm)
        ax.errorbar(x, y, yerr=ends, color=colour, marker=norm_marker(norm),
                    markersize=5.5, markeredgecolor="white", markeredgewidth=0.6, linewidth=1.6,
                    elinewidth=0.9, capsize=2, label=norm)  # fmt: skip
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    name = metric.replace(" accuracy", " error (%)") if error else f"{metric} (mean per case)"
    ax.set(xlabel="Batch size (samples a step)", ylabel=name)
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=2.2)
    caption(ax, describe(df), indent=-34)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of `draw`."""
    return (
        f"{seeds_note(df['seeds'])} Equal samples at every batch size; of several arms with the "
        "same norm and batch size the one with the best mean, a choice that no interval counts."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure batch_size; raises StudyError without arms at two batch sizes."""
    df = compute(study)
    if df.empty:
        raise StudyError(f"{study.name}: batch_size needs arms of a norm at two batch sizes.")
    fig = Figure(figsize=(6.4, 4.2), layout="constrained")
    draw(df, fig.subplots())
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw batch_size from the command line: ``STUDY [-o FILE]``."""
    return command("batch_size", argv)


if __name__ == "__main__":
    sys.exit(main())
