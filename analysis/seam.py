"""The seam between tiles by norm, and against the score.

The seam of a network is measured where it is trained on patches: the mean absolute difference of
the probabilities between two predictions whose tiles are shifted by half a tile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal, Protocol

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import arm_norms, interval, metric_name, with_range
from normsearch.analysis.palette import (
    caption_below,
    norm_colour,
    norm_marker,
    norm_order,
)
from normsearch.errors import StudyError, count

COLUMNS = ["number", "norm", "batch_size", "score", "seam", "kept", "metric"]
MIXTURE = "mixture"

READING = {
    "seam": (
        "Which norms leave seams between tiles",
        "Left, how much a prediction changes if the tiles are shifted by half a tile, by norm; "
        "right, against the score. A low seam costs nothing where its norm is also far right.",
    )
}


class MeasuredLike(Protocol):
    """What a part of an experiment measured, as far as this picture reads it."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each training: number, norm, batch_size, score, seam."""


def compute(study: StudyLike) -> pd.DataFrame:
    """List the COMPLETE trials on patches with their seams.

    Returns:
        One row a trial, by number, with columns number, norm (of a single norm or arm; ``mixture``
        for several), batch_size, score, seam (0 to 1), kept (whether it is at most the search's
        constraint on it, if there is one), metric.
    """
    table = study.trials()
    if not table.empty and "seam" in table:
        table = table[(table["state"] == "COMPLETE") & table["seam"].notna()]
    if table.empty or "seam" not in table:
        return pd.DataFrame(columns=COLUMNS)
    norms = arm_norms(study)
    arms = table["arm"] if "arm" in table else pd.Series(None, index=table.index, dtype=object)
    singles = table["single_norm" if "single_norm" in table else "baseline"]
    named = [
        norms.get(str(arm)) or (single if isinstance(single, str) else MIXTURE)
        for arm, single in zip(arms, singles, strict=True)
    ]
    limit = limit_of(study)
    found = table[["number", "batch_size", "score", "seam"]].astype(float)
    kept = found["seam"] <= limit if limit is not None else True
    found = found.assign(number=table["number"], norm=named, kept=kept, metric=metric_name(study))
    return found.reset_index(drop=True)[COLUMNS]


def limit_of(study: StudyLike) -> float | None:
    """Return the largest seam that a study's search allows, or None."""
    search = study.config.get("search") or {}
    given = (search.get("constraints") or {}).get("seam")
    return None if given is None else float(given)


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw the seam of each norm: its trainings, and their mean with its 95 % interval."""
    norms = order(df["norm"])
    for place, norm in enumerate(norms):
        own = df.loc[df["norm"] == norm, "seam"]
        ax.scatter(own, [place] * len(own), s=22, marker=_marker(norm), color=_colour(norm),
                   edgecolors="#333333", linewidths=0.5, alpha=0.75, zorder=3)  # fmt: skip
        mean, low, high, _ = interval(own)
        ax.plot([mean, mean], [place - 0.28, place + 0.28], color="black", linewidth=1.6, zorder=4)
        ax.plot([low, high], [place + 0.28] * 2, color="black", linewidth=1.6, zorder=4)
    ax.set_yticks(range(len(norms)), norms)
    ax.set(xlabel="Seam (lower is better)", ylim=(len(norms) - 0.4, -0.6))
    _plain(ax, "x")
    ax.tick_params(axis="y", length=0)


def draw_against(df: pd.DataFrame, ax: Axes) -> None:
    """Draw the seam of each training against its score, by norm."""
    for norm in order(df["norm"]):
        own = df[df["norm"] == norm]
        ax.scatter(own["score"], own["seam"], s=30, marker=_marker(norm), color=_colour(norm),
                   edgecolors="#333333", linewidths=0.5, zorder=3, label=norm)  # fmt: skip
    ax.set(xlabel=with_range(df["metric"].iloc[0], df["score"]), ylabel="Seam (lower is better)")
    _plain(ax, "both")


def order(norms: Iterable[str]) -> list[str]:
    """Return the distinct norms in the palette's order, mixtures last."""
    names = set(norms)
    return [*norm_order(names - {MIXTURE}), *([MIXTURE] if MIXTURE in names else [])]


def _colour(norm: str) -> str:
    return "#A5A5A5" if norm == MIXTURE else norm_colour(norm)


def _marker(norm: str) -> str:
    return "." if norm == MIXTURE else norm_marker(norm)


def _plain(ax: Axes, axis: Literal["both", "x", "y"]) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis=axis, color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame, limit: float | None = None) -> str:
    """Return the caption of the figure."""
    sizes = df["batch_size"].nunique()
    told = (
        f"{count(len(df), 'training')} on patches, one point each. Seam: mean absolute difference "
        "of the probabilities between two predictions by tiles side by side, shifted by half a "
        "tile. Bars: mean of a norm's trainings, and its 95 % interval where there are several."
    )
    if sizes > 1:
        told += f" Batch sizes differ ({sizes} of them)."
    if limit is not None:
        above = int((~df["kept"].astype(bool)).sum())
        told += f" Dashed: search.constraints.seam, {limit:g}, which {above} exceed."
    return told


def draw_both(df: pd.DataFrame, limit: float | None = None) -> Figure:
    """Return a figure of what `compute` returned: the seam by norm, and against the score."""
    names = order(df["norm"])
    fig = Figure(figsize=(8.6, 2.2 + 0.32 * max(len(names), 4)), layout="constrained")
    left, right = fig.subplots(1, 2)
    draw(df, left)
    draw_against(df, right)
    if limit is not None:
        left.axvline(limit, color="black", linewidth=0.9, linestyle=(0, (4, 2)))
        right.axhline(limit, color="black", linewidth=0.9, linestyle=(0, (4, 2)))
    highest = 1.05 * max(df["seam"].max(), limit or 0) or 1
    left.set_xlim(0, highest)
    right.set_ylim(0, highest)
    handles, labels = right.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right center", frameon=False)
    caption_below(fig, describe(df, limit))
    return fig


def of_measured(measured: MeasuredLike) -> Figure:
    """Return the figure of what a part of an experiment measured.

    Raises:
        StudyError: no training of it has a seam.
    """
    table = measured.trials
    if "seam" not in table or table["seam"].isna().all():
        raise StudyError("trials: must hold seams, and holds none; train on patches.")
    df = table.dropna(subset=["seam"]).assign(kept=True, metric="Test Dice")
    return draw_both(df[COLUMNS])


def figure(study: StudyLike) -> Figure:
    """Return the figure seam; raises StudyError without a COMPLETE trial on patches."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: seam needs a COMPLETE trial of a study on patches (task.sample: patch) "
            "with a validation case of one and a half patches, and there is none."
        )
    return draw_both(df, limit_of(study))


if __name__ == "__main__":
    sys.exit(command("seam"))
