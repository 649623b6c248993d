"""How many groups should Group Normalization have? Score over G, with LN and IN at its two ends."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import (
    arm_trials,
    bars,
    metric_name,
    one_arm_each,
    over_seeds,
    seeds_note,
    with_range,
)
from normsearch.analysis.palette import caption_below, norm_colour, number_colours
from normsearch.errors import StudyError

COLUMNS = [
    "quantity", "batch_size", "norm", "groups", "arm", "mean", "low", "high", "seeds", "metric",
]  # fmt: skip

READING = {
    "group_count": (
        "How many groups of channels",
        "Final score and training loss of Group Normalization over its number of groups; Layer "
        "Normalization is one group, Instance Normalization as many groups as channels. A score "
        "that rises without a matching fall of the loss generalizes better.",
    )
}


def group_count(norm: str) -> float:
    """Return the G of a norm: LN is GN-1, IN is GN-C and so infinite here; NaN for other norms.

    >>> [group_count(norm) for norm in ("LN", "GN-8", "IN", "BN")]
    [1.0, 8.0, inf, nan]
    """
    match = re.fullmatch(r"GN-(\d+)", norm)
    return float(match[1]) if match else {"LN": 1.0, "IN": np.inf}.get(norm, np.nan)


def compute(study: StudyLike) -> pd.DataFrame:
    """Average final score and training loss of the arms with GN, LN and IN over seeds.

    Returns:
        One row for each quantity ("score": 0 to 1; "loss": the training loss before the last
        evaluation), batch size and group count, ascending, with columns quantity, batch_size,
        norm, groups (inf for IN: as many as channels), arm (of several the one with the best
        score), mean, low and high (95 % t interval over seeds; NaN for one seed), seeds, metric.

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    table = arm_trials(study, "group_count")
    table["groups"] = [group_count(norm) for norm in table["norm"]]
    table = table.dropna(subset="groups").astype({"batch_size": int})
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    by = ["batch_size", "groups"]
    last = study.history().sort_values("evaluation").drop_duplicates("number", keep="last")
    table = one_arm_each(table, by, study.direction).drop(columns="loss", errors="ignore")
    table = table.merge(last[["number", "loss"]], on="number", how="left")
    least = 0.0 if (table["loss"] >= 0).all() else -np.inf  # a loss of the user's may be negative
    parts = [
        over_seeds(table, [*by, "norm", "arm"], quantity, bounds).assign(quantity=quantity)
        for quantity, bounds in (("score", study.bounds), ("loss", (least, np.inf)))
    ]
    found = pd.concat(parts).sort_values(["quantity", *by], ascending=[False, True, True])
    return found.assign(metric=metric_name(study)).reset_index(drop=True)[COLUMNS]


def draw(df: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw what `compute` returned on two axes: score and training loss over the group count."""
    counts = sorted(df["groups"].unique())
    colours = number_colours(df["batch_size"])
    for ax, quantity in zip(axes, ("score", "loss"), strict=True):
        part = df[df["quantity"] == quantity]
        for place, (batch, own) in enumerate(part.groupby("batch_size")):
            aside = 0.06 * (place - (len(colours) - 1) / 2)
            x = [counts.index(g) + aside for g in own["groups"]]
            ax.errorbar(x, own["mean"], yerr=bars(own),
                        color=colours[cast(float, batch)], marker="osD^vP"[place % 6],
                        markersize=5, markeredgecolor="white", markeredgewidth=0.6,
                        linewidth=1.6, elinewidth=0.9, capsize=2, label=str(batch))  # fmt: skip
        ax.set_xticks(range(len(counts)), [_tick(count) for count in counts])
        ax.set_xlim(-0.4, len(counts) - 0.6)
        for place, count in enumerate(counts):  # the norm's own colour at its place
            ax.scatter(place, 0, s=36, marker="s", color=norm_colour(_norm(count)),
                       edgecolors="#555555", linewidths=0.5, clip_on=False, zorder=5,
                       transform=ax.get_xaxis_transform())  # fmt: skip
        ax.set_xlabel("Groups of channels G")
        ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
        ax.set_axisbelow(True)
    axes[0].set_ylabel(with_range(df["metric"].iloc[0], df.loc[df["quantity"] == "score", "mean"]))
    axes[1].set_ylabel("Training loss at the end")


def _norm(count: float) -> str:
    """The norm that GN with this many groups is."""
    return {1.0: "LN", np.inf: "IN"}.get(count) or f"GN-{count:.0f}"


def _tick(count: float) -> str:
    """The name of a group count on the axis."""
    return {1.0: "1\n(LN)", np.inf: "C\n(IN)"}.get(count) or f"{count:.0f}"


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    return (
        f"{seeds_note(df['seeds'])} LN is GN with one group, IN is GN with a group for each of C "
        "channels; the axis is not to scale. Of several arms with the same G and batch size the "
        "one with the best mean score, a choice that no interval counts."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure group_count; raises StudyError without arms at three group counts."""
    df = compute(study)
    if df["groups"].nunique() < 3:
        raise StudyError(
            f"{study.name}: group_count needs arms with three or more of LN, GN-G and IN, got "
            f"{', '.join(df['norm'].unique()) or 'none'}."
        )
    fig = Figure(figsize=(7.6, 3.7), layout="constrained")
    axes = cast(Sequence[Axes], fig.subplots(1, 2))
    draw(df, axes)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False,
               title="Batch size (samples a step)")  # fmt: skip
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw group_count from the command line: ``STUDY [-o FILE]``."""
    return command("group_count", argv)


if __name__ == "__main__":
    sys.exit(main())
