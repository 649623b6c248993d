"""Score of the trials over the training spent, and the savings by pruning."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import (
    LOWER,
    single_norm,
    with_range,
    without_arms,
    without_replicates,
)
from normsearch.analysis.palette import caption, line_colour, norm_colour, root
from normsearch.errors import StudyError

COLUMNS = [
    "number", "state", "single_norm", "best_single", "setting", "samples", "total_samples",
    "score", "best", "saved_samples", "full_samples", "metric", "raced",
]  # fmt: skip

READING = {
    "search_history": (
        "How the search went",
        "Validation score of each trial over the training samples spent by all trials up to it, "
        "in the order in which the trials began. A pruned trial shows the last score it reported. "
        "The trainings of a race at the end are not shown.",
    )
}


def compute(study: StudyLike) -> pd.DataFrame:
    """List the trials in order of number (the order in which they began), with what each cost.

    Workers run trials side by side, so the order of finishing may differ a little. Replicates of a
    race, which train configurations again, are left out.

    Returns:
        One row for each trial that has begun, with columns number, state, single_norm (the norm of
        a trial with one in all slots, or None), best_single (whether it is that norm's best trial
        over all its settings), setting (its learning rate and batch size, for people), samples (the
        trial's own), total_samples (the study's up to and with this trial, whatever became of it),
        score (0 to 1; final for COMPLETE, last reported otherwise), best (best final score of
        the COMPLETE trials so far, NaN before the first), saved_samples (full budget − samples for
        PRUNED, else 0), full_samples (a trial's full budget), metric (what the score is, for
        people) and raced (how many replicates are left out).
    """
    every, lower = study.trials(), study.direction == "minimize"
    first = without_replicates(every)
    table = without_arms(first)
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    table = table[table["state"] != "WAITING"].sort_values("number").reset_index(drop=True)
    full = _full_samples(study.config["training"], table["batch_size"])
    samples = table["samples"].astype(float).fillna(0).astype(int)
    complete, pruned = table["state"] == "COMPLETE", table["state"] == "PRUNED"
    final = table["score"].astype(float).where(complete)
    shown = final.where(complete, table["last_score"].astype(float))
    singles = pd.Series(
        [single_norm(row, study) or None for row in table.to_dict("records")], dtype=object
    )
    return pd.DataFrame({
        "number": table["number"].astype(int),
        "state": table["state"],
        "single_norm": singles,
        "best_single": _best_singles(
            table.assign(single=singles, shown=shown), study.direction
        ),
        "setting": [_setting(row) for row in table.to_dict("records")],
        "samples": samples,
        "total_samples": samples.cumsum(),
        "score": shown,
        "best": (final.cummin() if lower else final.cummax()).ffill(),
        "saved_samples": (full - samples).clip(lower=0).where(pruned, 0),
        "full_samples": full,
        "metric": f"{study.metric}{LOWER}" if lower else study.metric,
        "raced": len(every) - len(first),
    })  # fmt: skip


def _full_samples(training: Mapping[str, Any], batch_sizes: pd.Series) -> pd.Series:
    """Return the samples of each trial's full budget; for steps, by its batch size."""
    if training.get("budget", "samples") == "samples":
        return pd.Series(int(training["samples"]), index=batch_sizes.index)
    each = int(training["steps"]) * int(training.get("accumulate", 1))
    return (batch_sizes.astype(float).fillna(0) * each).astype(int)


def _best_singles(table: pd.DataFrame, direction: str) -> pd.Series:
    """Return which trials are the best of their single norm, COMPLETE ones before pruned ones."""
    done = settled_of(table[table["single"].notna()])
    done = done[done["shown"].notna()]
    done = done.sort_values(["state", "shown"], ascending=[True, direction == "minimize"])
    best = done.drop_duplicates("single")
    return pd.Series(table.index.isin(best.index), table.index)


def _setting(row: Mapping[Any, Any]) -> str:
    known = [row.get("learning_rate"), row.get("batch_size")]
    return "" if any(pd.isna(v) for v in known) else f"lr {known[0]:.2g}, batch {known[1]:.0f}"


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: validation score of each trial over the samples spent so far.

    Trials far below the others are drawn at the lower edge and counted in the caption.
    """
    text, metric = describe(df), df["metric"].iloc[0]
    last = f"pruned (last {metric.removesuffix(LOWER)})"
    df = df.assign(score=df["score"].clip(lower=lowest_shown(df)), told=df["score"])
    spent = df["total_samples"] / 1000
    plain = df["single_norm"].isna()
    complete, pruned = df["state"] == "COMPLETE", df["state"] == "PRUNED"
    chosen = pruned & plain
    ax.scatter(spent[chosen], df["score"][chosen], marker="v", s=22, facecolors="none",
               edgecolors="#8A8A8A", linewidths=0.9, label=last)  # fmt: skip
    chosen = complete & plain
    ax.scatter(spent[chosen], df["score"][chosen], s=26, color="#333333", edgecolors="white",
               linewidths=0.5, zorder=3, label="complete")  # fmt: skip
    best = df["best"].notna()
    ax.step(spent[best], df["best"][best], where="post", color="#CC3311", linewidth=1.5,
            zorder=2, label="best so far")  # fmt: skip
    singles = df[~plain & (complete | pruned) & df["score"].notna()]
    named = singles[singles["best_single"]]
    _draw_singles(singles, ax)
    ax.set(xlabel="Samples spent by the search (thousands)",
           ylabel=with_range(f"Validation {metric}", df["told"]))  # fmt: skip
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.margins(x=0.03, y=0.12)
    ax.set_xlim(left=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False,
              handletextpad=0.4, columnspacing=1.4)  # fmt: skip
    caption(ax, text, indent=-34)
    if not named.empty:
        _name_singles(named, ax)


def _draw_singles(df: pd.DataFrame, ax: Axes) -> None:
    """Draw single-norm trials as diamonds in their norm's colour, hollow if they were pruned."""
    for spent, score, norm, state in zip(
        df["total_samples"] / 1000, df["score"], df["single_norm"], df["state"], strict=True
    ):
        colour = norm_colour(norm)
        face, edge = (colour, "black") if state == "COMPLETE" else ("white", colour)
        ax.scatter(spent, score, marker="D", s=40, facecolor=face, edgecolor=edge,
                   linewidths=0.8 if state == "COMPLETE" else 1.8, zorder=4)  # fmt: skip
    if not df.empty:
        ax.scatter([], [], marker="D", s=40, facecolor="white", edgecolor="black",
                   linewidths=0.8, label="single norm")  # fmt: skip


def _name_singles(df: pd.DataFrame, ax: Axes) -> None:
    """Draw a line at the score of each best single norm, with name, score and setting."""
    df = df.sort_values("score")
    right = ax.get_xlim()[1]
    root(ax).draw_without_rendering()  # fixes the layout, so that positions in points are known
    unit = 72 / root(ax).dpi
    at = ax.transData.transform([(right, score) for score in df["score"]])[:, 1] * unit
    gap, top = 11.5, ax.get_window_extent().y1 * unit
    # From the highest down, so that no name overlaps the legend above the axes.
    limits = [top - gap * below for below in reversed(range(len(df)))]
    places = [min(place, limit) for place, limit in zip(spread(list(at), gap), limits, strict=True)]
    columns = ["total_samples", "score", "told", "single_norm", "setting", "state"]
    for (spent, score, told, norm, setting, state), own, moved in zip(
        df[columns].itertuples(index=False), at, places, strict=True
    ):
        colour = line_colour(norm, 0.179)
        ax.plot([spent / 1000, right], [score, score], color=colour, linewidth=0.8,
                linestyle=(0, (1, 2)), alpha=0.8, zorder=1)  # fmt: skip
        note = ", ".join(filter(None, [setting, "" if state == "COMPLETE" else "pruned"]))
        text = f"{norm} {told:.3f}" + (f" ({note})" if note else "")
        ax.annotate(
            text, (right, score), (13, moved - own), textcoords="offset points", va="center",
            fontsize=8.5, color=colour, fontweight="bold", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 0,
                        "relpos": (0, 0.5)},
        )  # fmt: skip
    ax.set_xlim(right=right)


def spread(wanted: list[float], gap: float) -> list[float]:
    """Move ascending positions minimally (least squares) so that they are `gap` apart.

    >>> spread([0.0, 1.0, 50.0], 10.0)
    [-4.5, 5.5, 50.0]
    """
    blocks: list[list[float]] = []  # pool adjacent violators on the positions minus their gaps
    for position, value in enumerate(wanted):
        blocks.append([value - gap * position])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    flat = [_mean(block) for block in blocks for _ in block]
    return [value + gap * position for position, value in enumerate(flat)]


def _mean(values: list[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def lowest_shown(df: pd.DataFrame) -> float:
    """Return the score at the lower edge: Tukey's fence, or the lowest score.

    If lower is better, it is the lowest score.
    """
    if LOWER in df["metric"].iloc[0]:
        return float(df["score"].min())
    lower, upper = df["score"].quantile(0.25), df["score"].quantile(0.75)
    return float(max(df["score"].min(), lower - 1.5 * (upper - lower)))


def settled_of(df: pd.DataFrame) -> pd.DataFrame:
    """Return the complete and pruned trials of a table."""
    return df[df["state"].isin(["COMPLETE", "PRUNED"])]


def draw_savings(df: pd.DataFrame, ax: Axes) -> None:
    """Draw the samples spent, and those saved by pruning."""
    settled = settled_of(df)
    spent, saved = settled["samples"].sum() / 1000, settled["saved_samples"].sum() / 1000
    whole = spent + saved
    ax.barh(0, spent, height=0.9, color="#333333")
    ax.barh(0, saved, left=spent, height=0.9, color="white", edgecolor="#8A8A8A", hatch="////")
    share = 100 * saved / whole if whole else 0.0
    ax.annotate(f"saved by pruning: {share:.0f}\u00a0%", (whole, 0), (6, 0), va="center",
                textcoords="offset points", fontsize=8.5, annotation_clip=False)  # fmt: skip
    ax.set(yticks=[0], yticklabels=["spent"], xlim=(0, whole),
           xlabel="Samples of complete and pruned trials (thousands)")  # fmt: skip
    ax.tick_params(axis="y", length=0)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of `draw`: how many trials, and what pruning saved."""
    counts = df["state"].value_counts()
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
    states = ", ".join(f"{counts[s]} {word}" for s, word in words.items() if s in counts)
    settled = settled_of(df)
    saved, whole = int(settled["saved_samples"].sum()), int(settled["full_samples"].sum())
    share = 100 * saved / whole if whole else 0.0
    edge = lowest_shown(df)
    below = int((df["score"] < edge).sum())
    note = f" {below} below {edge:.2f} drawn at the lower edge." if below else ""
    raced = int(df["raced"].iloc[0])
    if raced:
        note += (
            f" Not shown: {raced} training{'s' * (raced > 1)} of the race, by which the best is "
            "chosen."
        )
    return (
        f"{len(df)} trials: {states}. Pruning left {saved:,} samples unspent, "
        f"{share:.0f}\u00a0% of the {whole:,} that the {len(settled)} "
        f"complete and pruned trials would have cost in full.{note}"
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure search_history; raises StudyError without a COMPLETE or PRUNED trial."""
    df = compute(study)
    if settled_of(df).empty:
        raise StudyError(f"{study.name}: search_history needs at least one finished trial.")
    fig = Figure(figsize=(7.0, 5.0), layout="constrained")
    savings, history = fig.subplots(2, 1, height_ratios=[1, 15])
    draw_savings(df, savings)
    draw(df, history)
    return fig


if __name__ == "__main__":
    sys.exit(command("search_history"))
