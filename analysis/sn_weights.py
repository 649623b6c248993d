"""What have Switchable Norms learnt in each slot? Weights averaged over a search's trials."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import completed, searched
from normsearch.analysis.palette import norm_colour, norm_kind, slot_label
from normsearch.errors import StudyError

COLUMNS = ["slot", "depth", "statistic", "branch", "weight", "n_trials", "moved"]

READING = {
    "sn_weights": (
        "What Switchable Norm learnt in each layer",
        "Mean learnt weights of the instance (IN), layer (LN) and batch (BN) statistics, over the "
        "COMPLETE trials with SN in the slot (their number in brackets). Hatched bars stayed near "
        "equal shares and say nothing about a preference. A description: the search chose which "
        "trials there are.",
    ),
}

#: A slot whose learnt weights moved less than this from equal shares has not chosen.
BARELY_MOVED = 0.05

BRANCHES = ("IN", "LN", "BN")


def compute(study: StudyLike) -> pd.DataFrame:
    """Average what Switchable Norms have learnt in each slot, over COMPLETE trials with SN there.

    PRUNED trials are left out: their weights had less time to move.

    Returns:
        One row for each slot with SN, statistic and branch, with columns slot, depth (0-based),
        statistic ("mean", "variance"), branch ("IN", "LN", "BN"), weight (0 to 1; a branch that a
        trial does not have, as BN at batch 1, counts as 0, so the three add up to 1), n_trials,
        and moved: the mean over trials of the largest distance of a weight from equal shares of
        the branches that the trial has (averaging weights first would hide opposite choices).
    """
    table = searched(study)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    done = completed(table)
    for trial in done.to_dict("records"):
        slots = [s for s in study.slots if norm_kind(str(trial[f"norm.{s}"])) == "SN"]
        learnt = study.learnt(int(trial["number"])) if slots else {}
        for slot in slots:
            for statistic in ("mean", "variance"):
                weights = learnt.get(slot, {}).get(statistic)
                if weights:
                    found.setdefault((slot, statistic), []).append(dict(weights))
    rows = []
    for depth, slot in enumerate(study.slots):
        for statistic in ("mean", "variance"):
            several = found.get((slot, statistic), [])
            if several:
                rows += _weight_rows(slot, depth, statistic, several)
    return pd.DataFrame(rows, columns=COLUMNS)


def _weight_rows(
    slot: str, depth: int, statistic: str, several: list[dict[str, float]]
) -> list[tuple[str, int, str, str, float, int, float]]:
    """The rows of one slot and statistic: one a branch."""
    n = len(several)
    moved = sum(map(distance_moved, several)) / n
    return [
        (slot, depth, statistic, branch, sum(o.get(branch, 0.0) for o in several) / n, n, moved)
        for branch in BRANCHES
    ]


def distance_moved(weights: Mapping[str, float]) -> float:
    """Return the largest distance of a weight from equal shares of the branches that there are.

    A branch that a norm cannot use, as BN at batch 1, has the weight 0 and is none of them.

    >>> distance_moved({"IN": 0.5, "LN": 0.5, "BN": 0.0})
    0.0
    """
    there = [weight for weight in weights.values() if weight > 0]
    return max(abs(weight - 1 / len(there)) for weight in there)


def draw(df: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw what `compute` returned on two axes: weights of the mean and of the variance."""
    order = df.sort_values("depth").drop_duplicates("slot")
    slots = order["slot"].tolist()
    labels = [
        f"{slot_label(slot)}  ({n})" for slot, n in zip(slots, order["n_trials"], strict=True)
    ]
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
        ax.set_yticks(range(len(slots)), labels)
        ax.tick_params(axis="y", length=0)
    axes[0].set_ylabel("Slot, in order of depth (trials averaged)")
    axes[1].tick_params(axis="y", labelleft=False)


def figure(study: StudyLike) -> Figure:
    """Return the figure sn_weights; raises StudyError if no COMPLETE trial has SN in a slot."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: sn_weights needs a COMPLETE trial with SN in at least one slot."
        )
    fig = Figure(figsize=(6.4, max(4.2, 1.7 + 0.25 * df["slot"].nunique())), layout="constrained")
    draw(df, cast(Sequence[Axes], fig.subplots(1, 2, sharey=True)))
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
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw sn_weights from the command line: ``STUDY [-o FILE]``."""
    return command("sn_weights", argv)


if __name__ == "__main__":
    sys.exit(main())
