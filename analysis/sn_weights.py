"""What have Switchable Norms learnt in each slot? Weights averaged over trials, by batch size."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import completed, searched
from normsearch.analysis.palette import caption_below, norm_colour, norm_kind, slot_label
from normsearch.errors import StudyError

COLUMNS = ["batch_size", "slot", "depth", "statistic", "branch", "weight", "n_trials", "moved"]

READING = {
    "sn_weights": (
        "What Switchable Norm learnt in each layer",
        "Mean learnt weights of the instance (IN), layer (LN) and batch (BN) statistics, over the "
        "COMPLETE trials of a batch size with SN in the slot (their number in brackets). Hatched "
        "bars stayed near equal shares and say nothing about a preference. A description: the "
        "search chose which trials there are.",
    ),
}

#: A slot whose learnt weights moved less than this from equal shares has not chosen.
BARELY_MOVED = 0.05

BRANCHES = ("IN", "LN", "BN")

#: No more batch sizes than this are drawn: those with most trials.
MOST = 3


def compute(study: StudyLike) -> pd.DataFrame:
    """Average what Switchable Norms have learnt in each slot, over COMPLETE trials with SN there.

    Each batch size by itself: what is chosen depends on it, and BN is out at batch size 1. PRUNED
    trials are left out: their weights had less time to move.

    Returns:
        One row for each batch size, slot with SN, statistic and branch, with columns batch_size (0:
        not recorded), slot, depth (0-based), statistic ("mean", "variance"), branch ("IN", "LN",
        "BN"), weight (0 to 1; the three add up to 1, BN is 0 at batch size 1), n_trials, and moved:
        the mean over trials of the largest distance of a weight from equal shares of the branches
        that the trial has (averaging weights first would hide opposite choices).
    """
    rows = []
    for trial in completed(searched(study)).to_dict("records"):
        size = 0 if pd.isna(trial["batch_size"]) else int(trial["batch_size"])
        slots = [s for s in study.slots if norm_kind(str(trial[f"norm.{s}"])) == "SN"]
        learnt = study.learnt(int(trial["number"])) if slots else {}
        for slot in slots:
            for statistic in ("mean", "variance"):
                if weights := learnt.get(slot, {}).get(statistic):
                    key = (size, slot, list(study.slots).index(slot), statistic)
                    moved = distance_moved(weights)
                    rows += [(*key, b, weights.get(b, 0.0), 1, moved) for b in BRANCHES]
    every = pd.DataFrame(rows, columns=COLUMNS)
    order = every["branch"].map(BRANCHES.index)
    every = every.assign(_order=order)
    by = ["batch_size", "depth", "slot", "statistic", "_order", "branch"]
    means = {"weight": "mean", "n_trials": "sum", "moved": "mean"}
    return every.groupby(by, as_index=False).agg(means)[COLUMNS]


def distance_moved(weights: Mapping[str, float]) -> float:
    """Return the largest distance of a weight from equal shares of the branches that there are.

    A branch that a norm cannot use, as BN at batch 1, has the weight 0 and is none of them.

    >>> distance_moved({"IN": 0.5, "LN": 0.5, "BN": 0.0})
    0.0
    """
    there = [weight for weight in weights.values() if weight > 0]
    return max(abs(weight - 1 / len(there)) for weight in there)


def draw(df: pd.DataFrame, axes: Sequence[Axes], slots: Sequence[str] | None = None) -> None:
    """Draw one batch size of what `compute` returned: weights of the mean and of the variance.

    `slots`: what stands on the axis, in order; those of `df` if None.
    """
    order = df.sort_values("depth").drop_duplicates("slot").set_index("slot")
    slots = order.index.tolist() if slots is None else list(slots)
    for ax, statistic in zip(axes, ("mean", "variance"), strict=True):
        part = df[df["statistic"] == statistic]
        table = part.pivot(index="slot", columns="branch", values="weight").reindex(slots)
        still = part.groupby("slot")["moved"].first().reindex(slots) < BARELY_MOVED
        left = np.zeros(len(slots))
        for branch in BRANCHES:
            bars = ax.barh(
                range(len(slots)), table[branch], left=left, height=0.82,
                color=norm_colour(branch), edgecolor="white", linewidth=0.4,
            )  # fmt: skip
            for bar, flat in zip(bars, still, strict=True):
                if flat:
                    bar.set(hatch="////", edgecolor="#FFFFFFB0")
            left = left + table[branch].to_numpy()
        for third in (1 / 3, 2 / 3):
            ax.axvline(third, color="black", linewidth=0.9, linestyle=(0, (4, 2)))
        ax.set(xlim=(0, 1), ylim=(len(slots) - 0.4, -0.6), xlabel=f"Weight of the {statistic}")
        ax.set_xticks([0, 1 / 3, 2 / 3, 1], ["0", "1/3", "2/3", "1"])
        ax.set_yticks(range(len(slots)), [slot_label(slot) for slot in slots])
        ax.tick_params(axis="y", length=0)
    axes[0].set_ylabel("Slot, in order of depth (trials averaged)")
    for place, count in enumerate(order["n_trials"].reindex(slots, fill_value=0)):
        axes[1].text(1.03, place, f"({count})", transform=axes[1].get_yaxis_transform(),
                     va="center", fontsize=8)  # fmt: skip


def figure(study: StudyLike) -> Figure:
    """Return the figure sn_weights; raises StudyError if no COMPLETE trial has SN in a slot."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: sn_weights needs a COMPLETE trial with SN in at least one slot."
        )
    trials = df.groupby("batch_size")["n_trials"].max().sort_values(ascending=False)
    sizes = sorted(trials.index[:MOST])
    shown = df[df["batch_size"].isin(sizes)]
    slots = list(shown.sort_values("depth")["slot"].unique())
    height = max(4.2, 1.9 + 0.25 * len(slots))
    fig = Figure(figsize=(2.0 + 4.2 * len(sizes), height), layout="constrained")
    panels = np.reshape(fig.subplots(1, 2 * len(sizes)), (len(sizes), 2))
    for size, pair in zip(sizes, panels, strict=True):
        draw(df[df["batch_size"] == size], pair, slots)
        pair[0].set_title(f"batch size {size or 'not recorded'}", loc="left")
    for ax in panels.ravel()[1:]:
        ax.tick_params(axis="y", labelleft=False)
        ax.set_ylabel("")
    handles: list[Patch | Line2D] = [
        Patch(facecolor=norm_colour(branch), label=branch) for branch in BRANCHES
    ]
    handles.append(
        Line2D([], [], color="black", linewidth=0.9, linestyle="--", label="equal shares")
    )
    flat = f"moved < {BARELY_MOVED} from equal shares"
    handles.append(Patch(facecolor="#999999", hatch="////", edgecolor="white", label=flat))
    fig.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False,
               handlelength=1.6, columnspacing=1.2)  # fmt: skip
    caption_below(fig, describe(df))
    return fig


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    trials = df.groupby("batch_size")["n_trials"].max()
    told = ", ".join(f"{count} at {size or '?'}" for size, count in trials.items())
    few = f" The {MOST} with most trials are drawn." if len(trials) > MOST else ""
    return f"COMPLETE trials with SN in a slot, at most: {told} (batch size).{few}"


def main(argv: Sequence[str] | None = None) -> int:
    """Draw sn_weights from the command line: ``STUDY [-o FILE]``."""
    return command("sn_weights", argv)


if __name__ == "__main__":
    sys.exit(main())
