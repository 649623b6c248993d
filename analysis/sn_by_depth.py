"""What did Switchable Norm learn at each batch size? Shares of BN, IN and LN in every slot."""

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
from normsearch.analysis.arms import arm_trials
from normsearch.analysis.palette import caption_below, norm_colour, norm_kind, slot_label
from normsearch.analysis.sn_weights import BARELY_MOVED, BRANCHES, distance_moved
from normsearch.errors import StudyError

COLUMNS = [
    "arm", "batch_size", "seed", "slot", "depth", "statistic", "branch", "weight", "moved",
]  # fmt: skip
STATISTICS = ("mean", "variance")

READING = {
    "sn_by_depth": (
        "What Switchable Norm learnt in each layer at each batch size",
        "Learnt weights of the instance (IN), layer (LN) and batch (BN) statistics in every "
        "slot. Hatched bars stayed near equal shares and say nothing about a preference.",
    )
}


def compute(study: StudyLike, kind: str = "sn_by_depth") -> pd.DataFrame:
    """Gather the learnt weights of every slot with SN, in the COMPLETE trials of SN's arms.

    Args:
        study: a study record.
        kind: the figure that an error names.

    Returns:
        One row for each trial, slot, statistic ("mean", "variance") and branch ("IN", "LN", "BN"),
        with columns arm, batch_size, seed, slot, depth (0-based), statistic, branch, weight (0 to
        1; the three add up to 1, BN is 0 at batch 1), moved (`distance_moved` of the three: below
        `BARELY_MOVED` the slot has not chosen).

    Raises:
        StudyError: no COMPLETE trial of an arm, or none of these has SN.
    """
    table = arm_trials(study, kind)
    rows = []
    for trial in table[table["norm"].map(norm_kind) == "SN"].to_dict("records"):
        learnt = study.learnt(int(trial["number"]))
        key = (trial["arm"], int(trial["batch_size"]), int(trial["seed"]))
        rows += [(*key, *row) for row in _weights(study.slots, learnt)]
    if not rows:
        raise StudyError(f"{study.name}: {kind} needs a COMPLETE trial of an arm with SN.")
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(
        ["batch_size", "arm", "seed", "depth"], kind="stable", ignore_index=True
    )


def _weights(
    slots: Sequence[str], learnt: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[tuple[str, int, str, str, float, float]]:
    """The rows of one trial, from the slot on."""
    return [
        (slot, depth, statistic, branch, weights.get(branch, 0.0), distance_moved(weights))
        for depth, slot in enumerate(slots)
        for statistic in STATISTICS
        if (weights := learnt.get(slot, {}).get(statistic))
        for branch in BRANCHES
    ]


def draw(df: pd.DataFrame, ax: Axes, statistic: str = "mean") -> None:
    """Draw one arm and statistic: a bar a slot, lines over the seeds' spread of a border."""
    part = df[df["statistic"] == statistic]
    slots = part.sort_values("depth")["slot"].unique()
    still = part.groupby("slot")["moved"].mean().reindex(slots) < BARELY_MOVED
    left = np.zeros(len(slots))
    for branch in BRANCHES:
        own = part[part["branch"] == branch].groupby("slot")["weight"].mean().reindex(slots)
        bars = ax.barh(range(len(slots)), own, left=left, height=0.84, linewidth=0.4,
                       color=norm_colour(branch), edgecolor="white")  # fmt: skip
        for bar, flat in zip(bars, still, strict=True):
            if flat:
                bar.set(hatch="////", edgecolor="#FFFFFFB0")
        left = left + own.to_numpy()
    for branch in ("IN", "BN"):  # the borders of the stack: after IN, before BN
        spread = part[part["branch"] == branch].groupby("slot")["weight"].agg(["min", "max"])
        ends = spread.reindex(slots) if branch == "IN" else 1 - spread.reindex(slots)
        places = np.arange(len(slots)) + (-0.16 if branch == "IN" else 0.16)  # they may overlap
        ax.hlines(places, ends["min"], ends["max"], color="black", linewidth=1.3)
    for third in (1 / 3, 2 / 3):
        ax.axvline(third, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set(xlim=(0, 1), ylim=(len(slots) - 0.4, -0.6))
    ax.set_xticks([0, 1 / 3, 2 / 3, 1], ["0", "1/3", "2/3", "1"])
    ax.set_yticks(range(len(slots)), [slot_label(slot) for slot in slots])
    ax.tick_params(axis="y", length=0)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    counts = df.groupby("arm")["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    seeds = f"{low}" if low == high else f"{low} to {high}"
    still = df.groupby(["arm", "statistic", "slot"])["moved"].mean() < BARELY_MOVED
    return (
        f"Bars: mean over {seeds} seed{'s' if high > 1 else ''}; short black lines: lowest to "
        "highest seed, the upper of where IN ends, the lower of where BN begins. Hatched: "
        f"{int(still.sum())} of {len(still)} bars whose weights moved less than {BARELY_MOVED} "
        "from equal shares. Dashed: thirds. BN is out at batch size 1."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure sn_by_depth; raises StudyError without a COMPLETE trial of an SN arm."""
    df = compute(study)
    arms = df.drop_duplicates("arm").set_index("arm")["batch_size"]
    height = 2.0 + 2 * (0.5 + 0.15 * df["slot"].nunique())
    fig = Figure(figsize=(max(5.4, 1.6 + 1.7 * len(arms)), height), layout="constrained")
    axes = np.asarray(fig.subplots(2, len(arms), sharex=True, sharey=True, squeeze=False))
    for column, (arm, size) in enumerate(arms.items()):
        for row, statistic in enumerate(STATISTICS):
            draw(df[df["arm"] == arm], axes[row, column], statistic)
        axes[0, column].set_title(f"batch size {size}" if arms.is_unique else str(arm))
        axes[1, column].set_xlabel("Learnt weight")
    for row, statistic in enumerate(STATISTICS):
        axes[row, 0].set_ylabel(f"Weights of the {statistic}\nSlot, in order of depth")
    handles: list[Patch | Line2D] = [
        Patch(facecolor=norm_colour(branch), label=branch) for branch in BRANCHES
    ]
    handles.append(Patch(facecolor="#999999", hatch="////", edgecolor="white", label="not moved"))
    fig.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw sn_by_depth from the command line: ``STUDY [-o FILE]``."""
    return command("sn_by_depth", argv)


if __name__ == "__main__":
    sys.exit(main())
