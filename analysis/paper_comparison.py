"""What the papers' tables share: a paper's number, hollow, beside ours with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normsearch.analysis.palette import caption_below, line_colour, norm_marker

#: Columns that every table beside a paper has; `control` marks a norm that the paper did not name.
COLUMNS = ["norm", "paper", "ours", "ours_low", "ours_high", "n", "control"]


def plain_spec(text: str) -> str:
    """Return a norm spec without blanks and with its options sorted, to compare by.

    >>> plain_spec("ILN(regroup=none, gate=clip)")
    'ILN(gate=clip,regroup=none)'
    """
    head, _, options = text.replace(" ", "").rstrip(")").partition("(")
    return f"{head}({','.join(sorted(options.split(',')))})" if options else head


def draw_beside(df: pd.DataFrame, ax: Axes, digits: int = 3, most: float = np.inf) -> None:
    """Draw rows with `COLUMNS`, first at the top: the paper hollow, ours filled, numbers beside.

    Intervals are cut where no value can lie: below 0 and above `most`. Columns paper_sd and
    ours_sd, where there are, stand behind the numbers.
    """
    for place, row in enumerate(df.to_dict("records")):
        colour, shape = line_colour(row["norm"]), norm_marker(row["norm"])
        if place % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", zorder=0, linewidth=0)
        ax.scatter(row["paper"], place - 0.17, s=34, marker=shape, facecolors="white",
                   edgecolors=colour, linewidths=1.2, zorder=3)  # fmt: skip
        low, high = np.clip([row["ours_low"], row["ours_high"]], 0, most)
        ax.hlines(place + 0.17, low, high, color=colour, linewidth=1.6)
        ax.scatter(row["ours"], place + 0.17, s=34, marker=shape, color=colour, zorder=3)
        told = "   ".join(_told(row, key, digits) for key in ("paper", "ours"))
        ax.text(1.02, place, told, transform=ax.get_yaxis_transform(), va="center", fontsize=8,
                family="monospace")  # fmt: skip
    head = "paper" + " " * (8 if "paper_sd" in df else 3) + "ours"
    ax.text(1.02, -0.75, head, transform=ax.get_yaxis_transform(), va="bottom",
            fontsize=8, family="monospace", color="#333333")  # fmt: skip
    names = [f"{row.norm} *" if row.control else str(row.norm) for row in df.itertuples()]
    ax.set_yticks(range(len(df)), names)
    ax.set_ylim(len(df) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def _told(row: Mapping[Any, Any], key: str, digits: int) -> str:
    """A mean, and its SD where there is one: ``0.903±.118``."""
    width = 5 if f"{key}_sd" in row else 0
    if pd.isna(row[key]):
        return f"{'  –  ':<{5 + width}}"
    spread = row.get(f"{key}_sd")
    told = "" if spread is None or pd.isna(spread) else f"±{spread:.3f}".replace("0.", ".")
    return f"{row[key]:5.{digits}f}{told:<{width}}"


def with_legend(fig: Figure, text: str) -> Figure:
    """Return a figure with the legend above it and `text` as its caption."""
    fig.legend(handles=legend_handles(), loc="outside upper center", ncols=2, frameon=False)
    caption_below(fig, text)
    return fig


def legend_handles() -> list[Line2D]:
    """Return what the two marks of `draw_beside` mean."""
    return [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="white", color="#333333",
               label="paper"),
        Line2D([], [], linewidth=1.6, marker="o", color="#333333", label="ours"),
    ]  # fmt: skip
