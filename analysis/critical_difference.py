"""Which arms differ? Mean ranks over cases, and the pairs that no test distinguishes.

Drawn like the diagrams of Demšar, "Statistical comparisons of classifiers over multiple data sets"
(2006), with another test: Nemenyi's test only counts cases, and mistakes variation between
trainings for a difference. Here two arms are distinguished by the tests of `normsearch confirm`,
over cases and over seeds, with Holm's correction for all pairs.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import arm_norms, scored_on
from normsearch.analysis.palette import caption_below, line_colour
from normsearch.errors import StudyError

COLUMNS = ["arm", "norm", "rank", "score", "alike", "tested", "finished", "cases", "seeds"]
ALPHA = 0.05
#: With fewer cases Wilcoxon's p-value, at best 2 / 2^cases, is above ALPHA for two arms alone.
LEAST_CASES = 6

READING = {
    "critical_difference": (
        "Which arms can be told apart",
        "Mean rank of each arm over the cases. Arms with a mark on the same black line are not "
        "told apart over cases and seeds: that is no evidence that they are equal.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """Rank the arms on every case (scores averaged over seeds), and find which are alike.

    A seed of an arm counts where it is scored on every case; cases with an empty truth are left
    out, see `normsearch.confirmation.score_table`.

    Returns:
        One row an arm, the best mean rank first, with columns arm, norm (its spec), rank (mean,
        1 is best), score (mean), alike (the arms from which it is not told, p ≥ 0.05 over cases
        and seeds, adjusted by Holm for all pairs, itself included; a tuple; see
        `normsearch.confirmation.statistics.pairwise`), tested
        (whether there are two seeds of each arm, cases enough for two arms to be told apart, and
        the study has finished; else all arms are alike), finished (whether it has), cases, seeds
        (the fewest of an arm).

    Raises:
        StudyError: fewer than three arms or six cases, or the arms are judged in looks.
    """
    from normsearch.confirmation.score_table import score_table, with_empty_truth

    space = study.config.get("space")
    if isinstance(space, Mapping) and space.get("design") == "looks":
        raise StudyError(
            f"{study.name}: critical_difference needs equal seeds of all arms, and a confirmation "
            "in looks stops arms early, by their scores; `normsearch report` has its table."
        )

    table = study.cases()
    table = table[table["arm"].notna()] if len(table) else table
    counts = table.groupby(["arm", "seed"])["case"].transform("nunique")
    scores = with_empty_truth(table[counts == table["case"].nunique()], study.of_class)
    arms = scores["arm"].nunique()
    known = score_table(scores) if scores["score"].notna().any() else None
    cases = known.arms[next(iter(known.arms))].shape[1] if known else 0
    if known is None or arms < 3 or cases < LEAST_CASES:
        raise StudyError(
            f"{study.name}: critical_difference needs three arms scored on the same "
            f"{LEAST_CASES} cases or more (no test tells arms apart on fewer), got {arms} on "
            f"{cases}."
        )
    means = pd.DataFrame({arm: part.mean() for arm, part in known.arms.items()})
    seeds = min(map(len, known.arms.values()))
    finished = _finished(study)
    tested = finished and seeds > 1 and cases >= cases_needed(arms)
    norms = arm_norms(study)
    found = pd.DataFrame({
        "rank": means.rank(axis=1, ascending=study.direction == "minimize").mean(),
        "score": means.mean(),
        "alike": _alike(scores, list(known.arms)) if tested else [tuple(known.arms)] * arms,
        "tested": tested,
        "finished": finished,
        "cases": cases,
        "seeds": seeds,
    })  # fmt: skip
    found = found.rename_axis("arm").reset_index().sort_values("rank", ignore_index=True)
    return found.assign(norm=[norms.get(arm, arm) for arm in found["arm"]])[COLUMNS]


def cases_needed(arms: int) -> int:
    """Return the fewest cases on which any two of so many arms can be told apart.

    The least p-value is Wilcoxon's 2 / 2^cases, times the number of pairs (Holm).

    >>> [cases_needed(arms) for arms in (2, 3, 10)]
    [6, 7, 11]
    """
    pairs = arms * (arms - 1) / 2
    return math.floor(math.log2(2 * pairs / ALPHA)) + 1


def _alike(scores: pd.DataFrame, arms: list[str]) -> list[tuple[str, ...]]:
    from normsearch.confirmation.statistics import pairwise

    rows = pairwise(scores).loc[arms, arms].to_numpy(float)
    return [tuple(arm for arm, p in zip(arms, row, strict=True) if p >= ALPHA) for row in rows]


def _finished(study: StudyLike) -> bool:
    """Return whether all trainings of the study have ended; True if it lists no seeds."""
    space = study.config.get("space")
    if not isinstance(space, Mapping) or "seeds" not in space:
        return True
    seeds = space["seeds"]
    wanted = [len(space["arms"]), seeds if isinstance(seeds, int) else len(seeds)]
    ended = study.trials()["state"].isin(["COMPLETE", "FAIL"]).sum()
    return bool(ended >= math.prod(wanted) * max(len(space.get("folds") or ()), 1))


def groups(df: pd.DataFrame) -> list[list[int]]:
    """Return sets of rows in which all pairs are alike; two arms share a set exactly if alike.

    Uses insert and absorb (Piepho 2004). Being alike is not transitive, so a set may leave out an
    arm between others.
    """
    alike = [set(row) for row in df["alike"]]
    arms = df["arm"].tolist()
    sets = [frozenset(range(len(arms)))]
    for first, second in itertools.combinations(range(len(arms)), 2):
        if arms[second] in alike[first]:
            continue
        split = [own - {gone} for own in sets for gone in (first, second) if {first, second} <= own]
        kept = [own for own in sets if not {first, second} <= own]
        every = dict.fromkeys([*kept, *split])
        sets = [own for own in every if not any(own < other for other in every)]
    return sorted(sorted(own) for own in sets if len(own) > 1)


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: mean ranks downwards, lines join arms that are alike."""
    for place, row in enumerate(df.to_dict("records")):
        colour = line_colour(row["norm"])
        ax.hlines(place, 1, row["rank"], color=colour, linewidth=0.9, alpha=0.6)
        ax.scatter(row["rank"], place, s=46, color=colour, edgecolors="#333333", linewidths=0.6,
                   zorder=3)  # fmt: skip
    right = float(df["rank"].max())
    step = 0.035 * (right - 1)
    for column, rows in enumerate(groups(df) if df["tested"].all() else []):
        x = right + step * (column + 1.5)
        ax.plot([x] * len(rows), rows, color="black", linewidth=1.2, marker="o", markersize=4.5)
    names = [f"{row.arm}   {row.score:.3f}" for row in df.itertuples()]
    ax.set_yticks(range(len(df)), names)
    ax.set(ylim=(len(df) - 0.4, -0.6), xlabel="Mean rank over cases (1 is best)")
    ax.set_xlim(left=1 - step)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    row = df.iloc[0]
    seeds = f"averaged over {row['seeds']} seeds or more" if row["seeds"] > 1 else "of one seed"
    head = f"{len(df)} arms on {row['cases']} cases, scores {seeds}; numbers: mean score."
    if not row["finished"]:
        return f"{head} Not finished: nothing is tested before all trainings have ended."
    if row["seeds"] > 1 and not row["tested"]:
        return (
            f"{head} Not tested: on {row['cases']} cases no two of {len(df)} arms can be told "
            f"apart (that takes {cases_needed(len(df))}), whatever their scores."
        )
    if not row["tested"]:
        return f"{head} Not tested: one seed of an arm tells nothing of another training."
    return (
        f"{head} Black lines join arms that are not told apart (p \u2265 0.05, the larger of a t "
        "test over cases and seeds and Wilcoxon's test over cases, Holm's correction for "
        f"{len(df) * (len(df) - 1) // 2} pairs); that is no evidence of equality."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure critical_difference; raises StudyError for too few arms or cases."""
    df = compute(study)
    fig = Figure(figsize=(6.8, 1.7 + 0.27 * len(df)), layout="constrained")
    draw(df, fig.subplots())
    caption_below(fig, f"{describe(df)} The cases are {scored_on(study)} cases.")
    return fig


if __name__ == "__main__":
    sys.exit(command("critical_difference"))
