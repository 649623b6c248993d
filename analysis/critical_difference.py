"""Which arms can be told apart over the cases? Mean ranks with Nemenyi's critical difference.

Demšar, "Statistical comparisons of classifiers over multiple data sets" (2006): cases stand where
data sets stand there. It says nothing of the luck of the trainings; `normsearch confirm` does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from analysis import StudyLike, command
from analysis.arms import arm_norms, scored_on
from analysis.palette import caption_below, line_colour
from normsearch.errors import StudyError

COLUMNS = ["arm", "norm", "rank", "score", "alike", "difference", "friedman_p", "cases", "seeds"]
ALPHA = 0.05

READING = {
    "critical_difference": (
        "Which arms can be told apart",
        "Mean rank of each arm over the cases. Arms joined by a black bar are not told apart; "
        "the luck of the trainings is not in this test.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Rank the arms on every case (scores averaged over seeds), and tell which are alike.

    Cases that an arm has no score of are left out of all arms.

    Returns:
        One row an arm, the best mean rank first, with columns arm, norm (its spec), rank (mean,
        1 is best), score (mean), alike (the arms from which Nemenyi's test does not tell it, p >
        0.05, itself included; a tuple), difference (Nemenyi's critical difference of mean ranks at
        0.05), friedman_p (Friedman's test of all arms), cases, seeds (the fewest of an arm).

    Raises:
        StudyError: fewer than three arms or two cases.
    """
    table = study.cases()
    table = table[table["arm"].notna()] if len(table) else table
    scores = table.pivot_table(index="case", columns="arm", values="score").dropna()
    arms, cases = scores.shape[1], len(scores)
    if arms < 3 or cases < 2:
        raise StudyError(
            f"{study.name}: critical_difference needs three arms scored on the same two cases or "
            f"more, got {arms} on {cases}."
        )
    import scikit_posthocs  # on demand: it takes seconds

    p = scikit_posthocs.posthoc_nemenyi_friedman(scores)
    norms = arm_norms(study)
    found = pd.DataFrame({
        "rank": scores.rank(axis=1, ascending=False).mean(),
        "score": scores.mean(),
        "alike": {arm: tuple(other for other in scores if p.loc[arm, other] > ALPHA or other == arm)
                  for arm in scores},
        "difference": stats.studentized_range.ppf(1 - ALPHA, arms, float("inf"))
        * (arms * (arms + 1) / (12 * cases)) ** 0.5,
        "friedman_p": stats.friedmanchisquare(*(scores[arm] for arm in scores)).pvalue,
        "cases": cases,
        "seeds": table.groupby("arm")["seed"].nunique().min(),
    })  # fmt: skip
    found = found.rename_axis("arm").reset_index().sort_values("rank", ignore_index=True)
    return found.assign(norm=[norms.get(arm, arm) for arm in found["arm"]])[COLUMNS]


def groups(df: pd.DataFrame) -> list[tuple[int, int]]:
    """Return the longest runs of rows (first, last) in which every arm is alike every other.

    Runs within another and runs of one are left out.
    """
    arms = df["arm"].tolist()
    alike = dict(zip(arms, df["alike"], strict=True))
    runs: list[tuple[int, int]] = []
    for first in range(len(arms)):
        last = first
        while last + 1 < len(arms) and all(
            arms[last + 1] in alike[arm] for arm in arms[first : last + 1]
        ):
            last += 1
        if last > first and not any(last <= end for _, end in runs):
            runs.append((first, last))
    return runs


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: mean ranks downwards, bars join arms that are alike."""
    runs = groups(df)
    for place, row in enumerate(df.to_dict("records")):
        colour = line_colour(row["norm"])
        ax.hlines(place, 1, row["rank"], color=colour, linewidth=0.9, alpha=0.6)
        ax.scatter(row["rank"], place, s=46, color=colour, edgecolors="#333333", linewidths=0.6,
                   zorder=3)  # fmt: skip
    right = float(df["rank"].max())
    step = 0.035 * (right - 1)
    for column, (first, last) in enumerate(runs):
        x = right + step * (column + 1.5)
        ax.plot([x, x], [first - 0.25, last + 0.25], color="black", linewidth=3.2,
                solid_capstyle="round")  # fmt: skip
    width = df["difference"].iloc[0]
    ax.plot([1, 1 + width], [-1, -1], color="#CC3311", linewidth=2, marker="|", markersize=8)
    ax.text(1 + width, -1, f"  critical difference {width:.2f}", va="center", fontsize=8.5,
            color="#CC3311")  # fmt: skip
    names = [f"{row.arm}   {row.score:.3f}" for row in df.itertuples()]
    ax.set_yticks(range(len(df)), names)
    ax.set(ylim=(len(df) - 0.4, -1.7), xlabel="Mean rank over cases (1 is best)")
    ax.set_xlim(left=1 - step)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    row = df.iloc[0]
    seeds = f"averaged over {row['seeds']} seeds" if row["seeds"] > 1 else "of one seed"
    return (
        f"{len(df)} arms on {row['cases']} cases, scores {seeds}; numbers: mean score. Black bars "
        "join arms that Nemenyi's test does not tell apart (0.05). Friedman's test of all arms: p "
        f"= {row['friedman_p']:.2g}. The luck of the trainings is not in these tests."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure critical_difference; raises StudyError for less than 3 arms or 2 cases."""
    df = compute(study)
    fig = Figure(figsize=(6.8, 1.7 + 0.27 * len(df)), layout="constrained")
    draw(df, fig.subplots())
    caption_below(fig, f"{describe(df)} The cases are {scored_on(study)} cases.")
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw critical_difference from the command line: ``STUDY [-o FILE]``."""
    return command("critical_difference", argv)


if __name__ == "__main__":
    sys.exit(main())
