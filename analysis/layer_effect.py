"""What is a norm worth in each slot? Effects by a Gaussian process, adjusted for all other choices.

How often a search chose a norm (`layer_preference`) is its sampler's habit as well as the norm's
merit. Here a model of all trainings, whatever chose them, is asked what it expects of a norm.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from scipy.special import ndtri, stdtrit

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import metric_name, searched
from normsearch.analysis.effect_model import Block, effects
from normsearch.analysis.layer_preference import HARDLY
from normsearch.analysis.palette import caption_below, line_colour, norm_order, slot_label
from normsearch.analysis.trainings_of_search import Parameter, Trainings, trainings
from normsearch.errors import StudyError

COLUMNS = [
    "parameter", "slots", "depth", "value", "effect", "low", "high", "beyond_0", "tried", "share",
    "trainings", "complete", "pruned", "left_out", "clipped", "fitted",
]  # fmt: skip

READING = {
    "layer_effect": (
        "What each norm is worth in each layer",
        "Each point is what a model of all trainings expects of a norm in a slot, beside the "
        "slot's other norms, with the other choices as they were; learning rate and batch size "
        "likewise. A line that crosses 0 shows no effect. The numbers tell how often the sampler "
        "tried it: what was hardly tried has a wide line, which says nothing against the norm. "
        "Each line is a 95 % interval of its own, and about one in twenty misses; confirm what a "
        "decision depends on.",
    ),
}

#: The minimum number of COMPLETE trials.
LEAST = 10
#: The model is fitted to so many trainings at most.
MOST = 400
#: The number of values at which the effect of a number on an axis is shown.
PLACES = 7
#: With fewer units of slots each has a panel of its own, otherwise each norm has.
FEW_UNITS = 3
#: The most panels beside each other: of norms, and of others.
ACROSS, OTHERS_ACROSS = 10, 3
BEYOND, WITHIN, RARE = "#0072B2", "#8C8C8C", "#CC3311"


def compute(study: StudyLike, seed: int = 0) -> pd.DataFrame:
    """Estimate the effects of each norm in each slot, and of the other choices of a search.

    An effect is what the model (see `effect_model`) expects of the final score if all trainings had
    this value, averaged over the other choices of the COMPLETE trials, less the mean of that over
    the values. Slots that share a choice are one parameter. Single norms count as trainings. Of a
    PRUNED trial the model takes what its scores say of the final one, with the uncertainty of that
    (see `expected_scores`): without them a norm would be judged by its lucky trainings alone. The
    model's noise is normal, that of trainings has outliers: an interval is wider by what a t
    distribution with as many degrees of freedom as the value has trainings is than a normal one, so
    a single training never shows an effect. Numbers on an axis have neighbours and need it not.

    Args:
        study: a study record.
        seed: of the model's random walk over its settings.

    Returns:
        One row a parameter and value, slots in order of depth and then the others, with columns
        parameter (the first slot, or the hyperparameter), slots (how many share the choice, 0 for a
        hyperparameter), depth (0-based, NaN for a hyperparameter), value (norms of several slots
        are joined by /; of a number with many values, evenly spaced ones), effect, low and high
        (its 95 % interval), in units of the score, beyond_0 (whether 0 lies outside), tried (trials
        with this value, or with this as the nearest one, without given single norms), share (tried
        of all those, 0 to 1), trainings (with this value, that the model knows), complete and
        pruned (trials that it knows), left_out (PRUNED ones whose scores say nothing), clipped
        (scores far from the rest that were moved nearer), fitted (trainings that the model is
        fitted to; evenly spaced in time beyond `MOST`). Empty with fewer than `LEAST` COMPLETE
        trials, or if nothing varies.
    """
    known = trainings(study)
    every = np.flatnonzero(known.told)
    if known.complete.sum() < LEAST or not known.parameters or np.ptp(known.score[every]) == 0:
        return pd.DataFrame(columns=COLUMNS)
    places = np.linspace(0, len(every) - 1, min(MOST, len(every))).round().astype(int)
    which = every[np.unique(places)]
    score = known.score[which]
    middle, scale = score.mean(), score.std()
    shown = [_values(one) for one in known.parameters]
    blocks = [
        Block(one.features(one.values)[which], one.features(values))
        for one, values in zip(known.parameters, shown, strict=True)
    ]
    targets, variance = (score - middle) / scale, known.variance[which] / scale**2
    found = effects(blocks, targets, variance, known.complete[which], seed)
    parts = [
        _rows(known, one, values, scale * np.stack(ends))
        for one, values, ends in zip(known.parameters, shown, found, strict=True)
    ]
    return pd.concat(parts, ignore_index=True).assign(
        complete=int(known.complete.sum()),
        pruned=int((known.told & ~known.complete).sum()),
        left_out=int((~known.told).sum()),
        clipped=known.clipped,
        fitted=len(which),
    )[COLUMNS]


def _rows(
    known: Trainings, one: Parameter, values: list[Any], found: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Return the rows of one parameter; `found` is (3, values)."""
    effect, low, high = found
    tried = _counts(one, values, known.chosen)
    used = _counts(one, values, known.told)
    if not one.number:
        wider = stdtrit(np.maximum(used, 1), 0.975) / ndtri(0.975)
        low, high = effect - wider * (effect - low), effect + wider * (high - effect)
    return pd.DataFrame({
        "parameter": one.name, "slots": len(one.slots), "depth": one.depth,
        "value": pd.Series(values, dtype=object), "effect": effect, "low": low, "high": high,
        "beyond_0": (low > 0) | (high < 0), "tried": tried,
        "share": np.array(tried) / max(int(known.chosen.sum()), 1),
        "trainings": used,
    })  # fmt: skip


def _values(one: Parameter) -> list[Any]:
    """Return the values of which effects are shown, in their order."""
    different = set(one.known)
    if one.slots:
        return list(norm_order(different))
    if not one.number or len(different) <= PLACES:
        return sorted(different)
    space = np.geomspace if one.log else np.linspace
    return list(map(float, space(min(different), max(different), PLACES)))


def _counts(one: Parameter, values: list[Any], among: npt.NDArray[np.bool_]) -> list[int]:
    """Return how many of these trainings have each value, or have it as the nearest one."""
    own = [v for v, counts in zip(one.values, among, strict=True) if counts and v is not None]
    if not one.number:
        return [own.count(value) for value in values]
    places = np.array(values, float), np.array(own, float)
    shown, known = map(np.log, places) if one.log else places
    nearest = np.abs(known[:, None] - shown).argmin(axis=1)
    return list(map(int, np.bincount(nearest, minlength=len(values))))


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw rows of what `compute` returned downwards, as they are; NaN was never trained."""
    places = list(range(len(df)))
    marked = df["beyond_0"].eq(True).to_numpy()
    colours = [BEYOND if one else WITHIN for one in marked]
    ax.axvline(0, color="#444444", linewidth=0.8, zorder=1)
    lines = LineCollection(
        [[(low, y), (high, y)] for low, high, y in zip(df["low"], df["high"], places, strict=True)],
        colors=colours, linewidths=1.7, zorder=2,
    )  # fmt: skip
    ax.add_collection(lines)
    ax.scatter(df["effect"], places, s=20, zorder=3, linewidths=1.1,
               facecolors=[BEYOND if one else "white" for one in marked],
               edgecolors=colours)  # fmt: skip
    for y, tried, slots in zip(places, df["tried"], df["slots"], strict=True):
        rare = slots > 0 and tried < HARDLY
        ax.text(1.03, y, "–" if np.isnan(tried) else f"{tried:.0f}", va="center", ha="left",
                fontsize=8, color=RARE if rare else "#555555",
                transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set_ylim(len(df) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    ax.locator_params(axis="x", nbins=3)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    row, marked = df.iloc[0], int(df["beyond_0"].sum())
    sampled = int(df.loc[df["parameter"] == row["parameter"], "tried"].sum())
    text = (
        "Points: what a Gaussian process expects of the final score with this choice, averaged "
        f"over the other choices of the {row['complete']} COMPLETE trials, less the mean over the "
        f"slot's norms (or the parameter's values). It is fitted to these and {row['pruned']} "
        "PRUNED trials, which count as far as their scores say what the final one would be. "
        f"Lines: 95\u00a0% intervals, each by itself; blue, if 0 is outside: {marked} of "
        f"{len(df)}, and up to one in twenty where nothing matters. Numbers: how many of the "
        f"{sampled} trials that the sampler chose have it (red: a norm in fewer than {HARDLY}; a "
        "dash: never trained); given single norms inform the model and are not counted. Lines of "
        "what was hardly trained may leave the panel."
    )
    if row["left_out"]:
        text += f" PRUNED trials whose scores say too little, left out: {row['left_out']}."
    if row["clipped"]:
        text += f" Scores far from the rest, moved nearer: {row['clipped']}."
    if row["fitted"] < row["complete"] + row["pruned"]:
        text += f" The model is fitted to {row['fitted']} of them, evenly spaced in time."
    return text


def figure(study: StudyLike) -> Figure:
    """Return the figure layer_effect; raises StudyError for arms and without enough trials."""
    df = compute(study)
    if df.empty:
        raise StudyError(f"{study.name}: layer_effect needs {_lacking(study)}.")
    units = df.loc[df["slots"] > 0, "parameter"].nunique()
    by_norm = _by_norm(df[df["slots"] > 0]) if units >= FEW_UNITS else []
    others = _by_parameter(df[df["slots"] == 0] if by_norm else df)
    shapes = _shape(len(by_norm), ACROSS), _shape(len(others), OTHERS_ACROSS)
    tall = [shapes[0][0] * (0.8 + 0.19 * units), shapes[1][0] * 1.9]
    width = max(7.6, 1.7 + 1.05 * shapes[0][1])
    fig = Figure(figsize=(width, 2.0 + sum(tall)), layout="constrained")
    upper: Figure | SubFigure = fig
    lower = upper
    if all(tall):
        upper, lower = fig.subfigures(2, 1, squeeze=False, height_ratios=tall).flat
    _draw_panels(upper, by_norm, shapes[0], _reach(df[df["slots"] > 0]))
    _draw_panels(lower, others, shapes[1])
    fig.suptitle(f"Effect on: {metric_name(study)}", fontsize=10)
    caption_below(fig, describe(df))
    return fig


def _lacking(study: StudyLike) -> str:
    table = study.trials()
    if len(table) and searched(study).empty:
        return "a search, and this run trains fixed arms; plot critical_difference instead"
    return f"at least {LEAST} COMPLETE trials that differ in their choices and their scores"


def _shape(panels: int, most: int) -> tuple[int, int]:
    """Return how many rows of how many panels, at most so many beside each other."""
    rows = ceil(panels / most)
    return rows, ceil(panels / max(rows, 1))


@dataclass(frozen=True)
class _Panel:
    """One panel: its title and the title's colour, the labels of its rows, and the rows."""

    title: str
    colour: str
    labels: list[str]
    df: pd.DataFrame


def _by_norm(df: pd.DataFrame) -> list[_Panel]:
    """Return a panel for each norm, with all units of slots."""
    units = df.drop_duplicates("parameter").set_index("parameter")["slots"]
    labels = [_unit_label(*unit) for unit in units.items()]
    return [
        _Panel(norm, line_colour(norm, 0.179), labels, part.reindex(units.index))
        for norm in norm_order(df["value"])
        for part in [df[df["value"] == norm].set_index("parameter")]
    ]


def _by_parameter(df: pd.DataFrame) -> list[_Panel]:
    """Return a panel for each parameter, with all its values."""
    found = []
    for name, part in df.groupby("parameter", sort=False):
        slots = part["slots"].iloc[0]
        title = _unit_label(name, slots) if slots else str(name).replace("_", " ")
        labels = [f"{v:.3g}" if isinstance(v, float) and v < 100 else str(v) for v in part["value"]]
        found.append(_Panel(title, "black", labels, part))
    return found


def _unit_label(slot: Any, slots: int) -> str:
    return slot_label(str(slot)) + (f" (+ {slots - 1})" if slots > 1 else "")


def _reach(df: pd.DataFrame) -> float:
    """Return the end of an axis: intervals of what was hardly trained may leave it."""
    ends = df[["low", "high"]].abs().max(axis=1)
    often = (df["trainings"] >= HARDLY) | (df["slots"] == 0)
    return 1.1 * float((ends[often] if often.any() else ends).max())


def _draw_panels(
    figure: Figure | SubFigure,
    panels: list[_Panel],
    shape: tuple[int, int],
    reach: float | None = None,
) -> None:
    """Draw panels row by row; `reach`: the end of the axes that they share, if they do."""
    if not panels:
        return
    share = reach is not None
    grid = figure.subplots(*shape, squeeze=False, sharex=share, sharey=share)
    axes = list(grid.flat)
    for place, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        draw(panel.df, ax)
        ax.set_yticks(range(len(panel.labels)), panel.labels)
        ax.set_title(panel.title, fontsize=9.5 if len(panel.title) < 12 else 8, color=panel.colour)
        end = _reach(panel.df) if reach is None else reach
        ax.set_xlim(-end, end)
        if place + shape[1] >= len(panels):
            ax.set_xlabel("Effect", fontsize=8.5)
            ax.tick_params(axis="x", labelbottom=True)
    for ax in axes[len(panels) :]:
        ax.remove()


if __name__ == "__main__":
    sys.exit(command("layer_effect"))
