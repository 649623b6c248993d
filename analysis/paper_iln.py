"""The ILN paper's Tables 1 to 3 beside ours, on the folds LV-1, LV-2 and LV-3 of Sunnybrook."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command, paper_comparison
from normsearch.analysis.arms import (
    arm_trials,
    interval,
    metric_name,
    one_arm_each,
    seeds_note,
    with_range,
)
from normsearch.analysis.papers import ILN_DICE
from normsearch.errors import StudyError

COLUMNS = ["table", "fold", *paper_comparison.COLUMNS, "metric"]
FOLDS = ("1", "2", "3")

READING = {
    "paper_iln": (
        "The ILN paper's tables beside ours",
        "Hollow marks are the paper's numbers, filled ones ours on the same folds at a smaller "
        "scale: the order of the norms can be compared, the numbers cannot.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Put the arms' scores on each test fold beside the paper's, over seeds.

    Returns:
        One row for each table of the paper, fold ("LV-1" to "LV-3", those of the study) and norm,
        in the paper's order, with columns table, fold, norm, paper (mean Dice over images), ours
        (mean over seeds of the score; NaN where we have none), ours_low and ours_high (95 % t
        interval over seeds), n (seeds), control (always False), metric.

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    table = arm_trials(study, "paper_iln")
    table["norm"] = table["norm"].map(paper_comparison.plain_spec)
    if table["fold"].isna().any():  # one fold for all of them
        table["fold"] = "".join(str(f) for f in study.config["task"].get("test_folds") or ())
    table = one_arm_each(table, ["norm", "fold"], study.direction)
    ours = {
        (str(norm), str(fold)): interval(group["score"])
        for (norm, fold), group in table.groupby(["norm", "fold"])
    }
    absent = (float("nan"), float("nan"), float("nan"), 0)
    rows = [
        (name, f"LV-{fold}", norm, told[place][0], *ours.get((norm, fold), absent), False)
        for name, norms in ILN_DICE.items()
        for place, fold in enumerate(FOLDS)
        if fold in set(table["fold"])
        for norm, told in norms.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(metric=metric_name(study))


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw one table on one fold: the paper's number hollow, ours filled with its interval."""
    paper_comparison.draw_beside(df, ax, most=1)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    ours = df[df["n"] > 0]
    return (
        f"Ours: {seeds_note(ours['n']).lower()} Paper: mean over the images of a fold, one "
        "training, the best of five learning rates. ILN(regroup=none) has no GN-16 after it; "
        "its gate is a sigmoid unless named. The scale of ours is smaller: compare the order."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure paper_iln; raises StudyError without two of its norms on Sunnybrook."""
    df = compute(study)
    data = str(study.config["task"].get("data", ""))
    found = df.loc[df["n"] > 0, "norm"].nunique() if len(df) else 0
    if "sunnybrook" not in data or found < 2:
        raise StudyError(
            f"{study.name}: paper_iln needs arms with two norms of the paper, on test folds 1 to 3 "
            f"of sunnybrook, got {found} on {data or 'other data'}."
        )
    folds, tables = list(df["fold"].unique()), list(df["table"].unique())
    sizes = [df.loc[df["table"] == name, "norm"].nunique() for name in tables]
    width = 2.4 + 2.7 * len(folds)
    fig = Figure(figsize=(width, 2.0 + 0.42 * sum(sizes)), layout="constrained")
    axes = fig.subplots(len(tables), len(folds), squeeze=False, sharex="col", height_ratios=sizes)
    for row, name in enumerate(tables):
        for column, fold in enumerate(folds):
            ax = axes[row, column]
            draw(df[(df["table"] == name) & (df["fold"] == fold)], ax)
            ax.tick_params(axis="y", labelleft=column == 0)
            ax.set_title(f"{name}, {fold}", loc="left")
    for ax in axes[-1]:
        ax.set_xlabel(with_range(df["metric"].iloc[0], df["ours"]))
    return paper_comparison.with_legend(fig, describe(df))


def main(argv: Sequence[str] | None = None) -> int:
    """Draw paper_iln from the command line: ``STUDY [-o FILE]``."""
    return command("paper_iln", argv)


if __name__ == "__main__":
    sys.exit(main())
