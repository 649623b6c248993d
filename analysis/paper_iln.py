"""The ILN paper's Tables 1 to 3 beside ours, on the folds LV-1, LV-2 and LV-3 of Sunnybrook.

The paper's three folds of the right ventricle, whose images are not public, stand beside them.
"""

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
    scored_on,
    seeds_note,
    with_range,
)
from normsearch.analysis.palette import line_colour, norm_marker
from normsearch.analysis.papers import ILN_DICE, ILN_RV_DICE
from normsearch.errors import StudyError

COLUMNS = ["table", "fold", *paper_comparison.COLUMNS, "paper_sd", "ours_sd", "scores", "metric"]
FOLDS = ("1", "2", "3")

READING = {
    "paper_iln": (
        "The ILN paper's tables beside ours",
        "Hollow marks are the paper's numbers, filled ones ours on the same folds at a smaller "
        "scale, small dots our cases: the order of the norms can be compared, the numbers cannot. "
        "At the right what the paper found on right ventricles.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Put the arms' scores on each test fold beside the paper's, over seeds.

    Returns:
        One row for each table of the paper, fold ("LV-1" to "LV-3", those of the study, then "RV-1"
        to "RV-3", the paper's alone) and norm, in the paper's order, with columns table, fold,
        norm, paper (mean Dice over images), ours (mean over seeds of the score; NaN where we have
        none), ours_low and ours_high (95 % t interval over seeds), n (seeds), control (always
        False), paper_sd (over images), ours_sd (over cases, seeds averaged), scores (a tuple, of
        each case, seeds averaged), metric.

    Raises:
        StudyError: no COMPLETE trial of an arm.
    """
    table = arm_trials(study, "paper_iln")
    table["norm"] = table["norm"].map(paper_comparison.plain_spec)
    if table["fold"].isna().any():  # one fold for all of them
        table["fold"] = "".join(str(f) for f in study.config["task"].get("test_folds") or ())
    table = one_arm_each(table, ["norm", "fold"], study.direction)
    cases = study.cases()[["number", "case", "score"]]
    ours = {}
    for (norm, fold), group in table.groupby(["norm", "fold"]):
        own = cases[cases["number"].isin(group["number"])].groupby("case")["score"].mean().dropna()
        ours[str(norm), str(fold)] = (*interval(group["score"]), own)
    nothing = float("nan")
    absent = (nothing, nothing, nothing, 0, pd.Series(dtype=float))
    rows = []
    for kind, told in (("LV", ILN_DICE), ("RV", ILN_RV_DICE)):
        for name, norms in told.items():
            for place, fold in enumerate(FOLDS):
                for norm, numbers in (
                    norms.items() if fold in {*table["fold"]} or kind == "RV" else ()
                ):
                    mean, spread = numbers[place]
                    *found, own = ours.get((norm, fold), absent) if kind == "LV" else absent
                    rows.append((name, f"{kind}-{fold}", norm, mean, *found, False, spread,
                                 own.std(), tuple(own)))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(metric=metric_name(study))


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw one table on one fold: the paper's number hollow, ours with interval and cases."""
    for place, (norm, scores) in enumerate(zip(df["norm"], df["scores"], strict=True)):
        ax.scatter(scores, [place + 0.36] * len(scores), s=6, color=line_colour(norm), alpha=0.5,
                   linewidths=0, zorder=1)  # fmt: skip
    paper_comparison.draw_beside(df, ax, most=1)


def draw_paper(df: pd.DataFrame, ax: Axes) -> None:
    """Draw one table on the paper's own folds: a hollow mark a fold, numbers beside."""
    norms = list(df["norm"].unique())
    for place, norm in enumerate(norms):
        own = df[df["norm"] == norm]
        if place % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", zorder=0, linewidth=0)
        ax.scatter(own["paper"], [place] * len(own), s=34, marker=norm_marker(norm),
                   facecolors="white", edgecolors=line_colour(norm), linewidths=1.2)  # fmt: skip
        told = " ".join(
            f"{mean:.3f}±{spread:.3f}".replace("0.", ".")
            for mean, spread in zip(own["paper"], own["paper_sd"], strict=True)
        )
        ax.text(1.02, place, told, transform=ax.get_yaxis_transform(), va="center", fontsize=8,
                family="monospace")  # fmt: skip
    ax.set_yticks(range(len(norms)), norms)
    ax.set_ylim(len(norms) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    ours = df[df["n"] > 0]
    return (
        f"Ours: {seeds_note(ours['n']).lower()} ± is the SD over our cases (dots; seeds averaged), "
        "in the paper over images. Paper: mean over the images of a fold, one training, the best "
        "of five learning rates. ILN(regroup=none) has no GN-16 after it; its gate is a sigmoid "
        "unless named. The scale of ours is smaller: compare the order. RV: right ventricles."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure paper_iln; raises StudyError without two of its norms on Sunnybrook."""
    df = compute(study)
    data = str(study.config["task"].get("data", ""))
    found = df.loc[df["n"] > 0, "norm"].nunique()
    if "sunnybrook" not in data or found < 2 or scored_on(study) != "test":
        raise StudyError(
            f"{study.name}: paper_iln needs arms with two norms of the paper, on test folds 1 to 3 "
            f"of sunnybrook, got {found} on {scored_on(study)} cases of {data or 'other data'}."
        )
    ours, theirs = df[df["fold"].str.startswith("LV")], df[df["fold"].str.startswith("RV")]
    folds, tables = list(ours["fold"].unique()), list(df["table"].unique())
    sizes = [df.loc[df["table"] == name, "norm"].nunique() for name in tables]
    fig = Figure(figsize=(6.2 + 3.5 * len(folds), 2.0 + 0.42 * sum(sizes)), layout="constrained")
    axes = fig.subplots(len(tables), len(folds) + 1, sharex="col", height_ratios=sizes)
    for row, name in zip(axes, tables, strict=True):
        for ax, fold in zip(row, folds, strict=False):
            draw(ours[(ours["table"] == name) & (ours["fold"] == fold)], ax)
            ax.tick_params(axis="y", labelleft=fold == folds[0])
            ax.set_title(f"{name}, {fold}", loc="left")
        draw_paper(theirs[theirs["table"] == name], row[-1])
        row[-1].set_title("paper: RV-1, RV-2, RV-3", loc="left")
    for ax in axes[-1, :-1]:
        ax.set_xlabel(with_range(df["metric"].iloc[0], df["ours"]))
    axes[-1, -1].set_xlabel("Dice (0 to 1)")
    return paper_comparison.with_legend(fig, describe(df))


def main(argv: Sequence[str] | None = None) -> int:
    """Draw paper_iln from the command line: ``STUDY [-o FILE]``."""
    return command("paper_iln", argv)


if __name__ == "__main__":
    sys.exit(main())
