"""What does Switchable Norm prefer as the batch shrinks? Shares of BN, IN, LN over batch sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command, sn_by_depth
from normsearch.analysis.arms import SHARE, bars, interval, seeds_note
from normsearch.analysis.palette import caption_below, line_colour, norm_marker
from normsearch.analysis.papers import SN_SHARES
from normsearch.analysis.sn_weights import BARELY_MOVED, BRANCHES
from normsearch.errors import StudyError

COLUMNS = [
    "batch_size", "statistic", "branch", "mean", "low", "high", "seeds", "still", "slots",
]  # fmt: skip
TITLES = {
    "mean": "Weights of the mean",
    "variance": "Weights of the variance",
    "both": "Both, beside the SN paper",
}

READING = {
    "sn_by_batch": (
        "What Switchable Norm prefers as the batch shrinks",
        "Mean learnt weights over all slots, the same at every batch size, a panel each for the "
        "weights of the mean, of the variance and of both, the last beside what the paper found "
        "in another network on other images. Slots that stayed near equal shares draw the lines "
        "towards a third.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Average the learnt weights of SN arms over all slots, over arms, then over seeds.

    Slots that hardly moved count, so that every batch size is a mean over the same slots.

    Returns:
        One row a batch size, statistic ("mean", "variance", "both": their mean) and branch ("IN",
        "LN", "BN"), with columns batch_size, statistic, branch, mean (share, 0 to 1), low and high
        (its 95 % t interval over seeds), seeds (how many), still (slots that moved less than
        `BARELY_MOVED` from equal shares, on average over trainings; of "both": pairs of slot and
        statistic), slots (how many there are, of "both" pairs).

    Raises:
        StudyError: no COMPLETE trial of an arm, or none of these has SN.
    """
    return averaged(sn_by_depth.compute(study, "sn_by_batch"))


def averaged(df: pd.DataFrame) -> pd.DataFrame:
    """Average a table of weights (of `sn_by_depth.compute`) as `compute` promises."""
    by = ["batch_size", "statistic", "branch"]
    every = pd.concat([df, df.assign(slot=df["slot"] + " " + df["statistic"], statistic="both")])
    moved = every.groupby(["batch_size", "statistic", "slot"])["moved"].mean()
    still = (
        (moved < BARELY_MOVED).groupby(["batch_size", "statistic"]).agg(still="sum", slots="size")
    )
    # Arms of one seed share their first weights: they are averaged, and count as one.
    seeds = every.groupby([*by, "seed"], as_index=False)["weight"].mean()
    rows = [(*key, *interval(group["weight"])) for key, group in seeds.groupby(by)]
    found = pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds"])
    return found.merge(still.reset_index(), on=by[:2])[COLUMNS]


def draw(df: pd.DataFrame, ax: Axes, statistic: str = "both") -> None:
    """Draw one statistic of what `compute` returned, batches shrinking to the right.

    "both" has the paper's shares beside it, as hollow marks.
    """
    paper = SN_SHARES if statistic == "both" else {}
    sizes = sorted({*df["batch_size"], *paper}, reverse=True)
    for place, branch in enumerate(BRANCHES):
        own = df[(df["statistic"] == statistic) & (df["branch"] == branch)]
        own = own[own["mean"] > 0].sort_values("batch_size", ascending=False)
        colour, shape = line_colour(branch), norm_marker(branch)
        x = [sizes.index(size) + 0.08 * (place - 1) for size in own["batch_size"]]
        ax.errorbar(x, own["mean"], yerr=bars(own, SHARE), color=colour,
                    marker=shape, markersize=5, linewidth=1.6, elinewidth=0.9, capsize=2,
                    label=branch)  # fmt: skip
        told = [(sizes.index(size), row[branch]) for size, row in paper.items() if branch in row]
        if told:
            ax.plot(*zip(*told, strict=True), color=colour, linestyle=":", linewidth=1,
                    marker=shape, markersize=5, markerfacecolor="white")  # fmt: skip
    ax.axhline(1 / 3, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set(title=TITLES[statistic], xlabel="Batch size (samples a step)")
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    both = df[df["statistic"] == "both"].drop_duplicates("batch_size")
    told = ", ".join(f"{row.still} at {row.batch_size}" for row in both.itertuples())
    still = f": {told}" if both["still"].any() else ": none"
    return (
        f"{seeds_note(df['seeds'], of_cases=False)} All slots count at every batch size; of "
        f"{both['slots'].iloc[0]} weights (slots, mean and variance) those that moved less than "
        f"{BARELY_MOVED} from equal shares (dashed){still}. Hollow, dotted: "
        "ResNet-50 on ImageNet, by images a GPU (Luo et al. 2018, read off a figure, ±.02); BN is "
        "out at batch size 1."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure sn_by_batch; raises StudyError without SN arms at two batch sizes."""
    df = compute(study)
    if df["batch_size"].nunique() < 2:
        raise StudyError(f"{study.name}: sn_by_batch needs SN arms at two batch sizes.")
    fig = Figure(figsize=(9.6, 3.8), layout="constrained")
    axes = cast(Sequence[Axes], fig.subplots(1, 3, sharey=True, width_ratios=[1, 1, 1.2]))
    for ax, statistic in zip(axes, TITLES, strict=True):
        draw(df, ax, statistic)
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel("Mean share over slots (0 to 1)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw sn_by_batch from the command line: ``STUDY [-o FILE]``."""
    return command("sn_by_batch", argv)


if __name__ == "__main__":
    sys.exit(main())
