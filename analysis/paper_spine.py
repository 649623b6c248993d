"""The spine paper's Tables 1 and 2 beside ours: Dice of each norm, and its time over none's."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command, paper_comparison
from normsearch.analysis.arms import (
    arm_trials,
    by_norm,
    metric_name,
    one_arm_each,
    over_seeds,
    seeds_note,
    with_range,
)
from normsearch.analysis.papers import SPINE_DICE, SPINE_EPOCH_SECONDS
from normsearch.errors import StudyError

COLUMNS = ["quantity", *paper_comparison.COLUMNS, "metric"]

READING = {
    "paper_spine": (
        "The spine paper's tables beside ours",
        "Hollow marks are the paper's numbers, filled ones ours. Another scale and other "
        "images: the order of the norms can be compared, the numbers cannot.",
    )
}

#: The network of the paper; a study of another is not put beside it.
NETWORK = "res_unet3d"


def compute(study: StudyLike) -> pd.DataFrame:
    """Put the arms' scores and times beside the paper's, over seeds.

    Two controls of ours stand for what Keras packages call GN and IN: slabGN-G and IN-axisnone;
    beside each is the paper's number of GN-G or IN. The paper's prediction times are left out: a
    study records none.

    Returns:
        One row for each quantity ("score": 0 to 1; "time": seconds of a training over the mean
        ones of `none`, in the paper seconds of an epoch) and norm, with columns quantity, norm,
        paper (NaN where the paper has none), ours (mean over seeds, NaN where we have none),
        ours_low and ours_high (95 % t interval over seeds), n (seeds), control, metric.

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    table = one_arm_each(arm_trials(study, "paper_spine"), ["norm"], study.direction)
    none = table.loc[table["norm"] == "none", "seconds"].astype(float).mean()
    table["time"] = table["seconds"].astype(float) / none
    paper = {
        "score": SPINE_DICE,
        "time": {k: v / SPINE_EPOCH_SECONDS["none"] for k, v in SPINE_EPOCH_SECONDS.items()},
    }
    parts = []
    for quantity, told in paper.items():
        ours = over_seeds(table, ["norm"], quantity).set_index("norm")
        norms = pd.Index([*told, *(norm for norm in ours.index if norm not in told)], name="norm")
        rows = ours.reindex(norms).reset_index()
        rows["paper"] = [told.get(_stands_for(norm)) for norm in norms]
        rows["control"] = [_stands_for(norm) != norm for norm in norms]
        parts.append(by_norm(rows).assign(quantity=quantity))
    found = pd.concat(parts, ignore_index=True).rename(
        columns={"mean": "ours", "low": "ours_low", "high": "ours_high", "seeds": "n"}
    )
    found["n"] = found["n"].fillna(0).astype(int)
    return found.astype({"paper": float}).assign(metric=metric_name(study))[COLUMNS]


def _stands_for(norm: str) -> str:
    """The norm of the paper that a control of ours stands for."""
    return "IN" if norm == "IN-axisnone" else norm.replace("slabGN", "GN")


def draw(df: pd.DataFrame, ax: Axes, quantity: str = "score") -> None:
    """Draw one quantity of what `compute` returned: the paper's number hollow, ours filled."""
    part = df[df["quantity"] == quantity]
    if quantity == "score":
        paper_comparison.draw_beside(part, ax, most=1)
        ax.set_xlabel(with_range(df["metric"].iloc[0], part["ours"]))
    else:
        paper_comparison.draw_beside(part, ax, digits=2)
        ax.axvline(1, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
        # A busy machine makes these intervals long: where they would press the rest, they are cut.
        ax.set_xlim(0, 1.4 * max(part["paper"].max(), part["ours"].max()))
        ax.set_xlabel("Training time over that of none")


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    ours = df[df["n"] > 0]
    controls = ", ".join(ours.loc[ours["control"], "norm"].unique())
    note = f" * Controls ({controls}): what Keras packages call GN and IN." if controls else ""
    return (
        f"Ours: {seeds_note(ours['n']).lower()} Paper: spine CT, batch size 1, 30 epochs, one "
        "training; the order of its times is inferred. Our times are wall clock; long intervals "
        "are cut. The scale of ours is smaller: compare the order of norms, not the numbers."
        f"{note}"
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure paper_spine; raises StudyError for arms on another network."""
    df = compute(study)
    network = study.config.get("network", {}).get("name")
    shared = df[(df["n"] > 0) & df["paper"].notna()]["norm"].nunique()
    if network != NETWORK or shared < 3:
        raise StudyError(
            f"{study.name}: paper_spine needs arms with three norms of the paper on {NETWORK}, "
            f"got {shared} on {network}."
        )
    fig = Figure(figsize=(8.6, 1.7 + 0.33 * df["norm"].nunique()), layout="constrained")
    axes = fig.subplots(1, 2)
    for ax, quantity in zip(axes, ("score", "time"), strict=True):
        draw(df, ax, quantity)
    return paper_comparison.with_legend(fig, describe(df))


def main(argv: Sequence[str] | None = None) -> int:
    """Draw paper_spine from the command line: ``STUDY [-o FILE]``."""
    return command("paper_spine", argv)


if __name__ == "__main__":
    sys.exit(main())
