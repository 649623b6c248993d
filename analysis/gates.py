"""Where do the gates of ILN and BIN go? Their ρ over training, and where each layer's ends.

ILN mixes IN by a gate g = sigmoid(ρ) (or clip(ρ), or softmax(ρ1, ρ2), whose ρ here is ρ1 − ρ2) and
LN by 1 − g; BIN mixes BN by g = ρ and IN, its ρ here the mean over channels. A study records g; ρ
follows from it, but for a clip gate outside 0 to 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import completed, samples_unit
from normsearch.analysis.palette import caption_below, norm_kind, number_colours, slot_label
from normsearch.analysis.search_history import spread
from normsearch.errors import StudyError

COLUMNS = [
    "arm", "norm", "slot", "depth", "samples", "evaluation", "rho", "low", "high", "gate",
    "trainings",
]  # fmt: skip

READING = {
    "gates": (
        "Where the gates of ILN and BIN go",
        "The learnt ρ over training in up to eight slots, and where it ends in every slot; the "
        "second axis is the gate that ρ opens. A row an arm, or a norm of a search, where "
        "trainings differ in more than their seed.",
    )
}

#: The branch that the gate lets through.
BRANCH = {"ILN": "IN", "BIN": "BN"}
#: No more curves than this are drawn: those of the first, the last and slots between.
MOST = 8

Array = npt.NDArray[np.float64]


def compute(study: StudyLike) -> pd.DataFrame:
    """Average ρ of each slot at each evaluation point, over COMPLETE trainings with a gate there.

    Returns:
        One row for each arm (of a search: norm spec), norm spec with a gate, slot and evaluation
        point, with columns arm, norm, slot, depth (0-based), samples (seen), evaluation, rho
        (mean), low and high (lowest and highest training), gate (mean, 0 to 1), trainings (how
        many). Empty if there are none.
    """
    done = completed(study.trials())
    parts = []
    for trial in done.to_dict("records") if len(done) else []:
        number = int(trial["number"])
        norms = {s: n for s, n in study.norm_map(number).items() if norm_kind(n) in BRANCH}
        if norms:
            points = study.learnt_history(number)
            points = points[points["slot"].isin(norms)]
            norm = points["slot"].map(norms)
            own = points["branch"] == norm.map(lambda spec: BRANCH[norm_kind(spec)])
            arm = trial.get("arm")
            parts.append(points.assign(norm=norm, arm=arm if isinstance(arm, str) else norm)[own])
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts)
    rows = zip(table["norm"], table["weight"], strict=True)
    table["rho"] = [float(rho_of(weight, norm)) for norm, weight in rows]
    found = table.groupby(["arm", "norm", "slot", "evaluation"], as_index=False).agg(
        samples=("samples", "first"), rho=("rho", "mean"), low=("rho", "min"), high=("rho", "max"),
        gate=("weight", "mean"), trainings=("rho", "size"),
    )  # fmt: skip
    found["depth"] = [list(study.slots).index(slot) for slot in found["slot"]]
    return found.sort_values(["arm", "norm", "depth", "evaluation"], ignore_index=True)[COLUMNS]


def is_logistic(norm: str) -> bool:
    """Return whether the gate of a norm is a logistic function of ρ: ILN's, but for clip."""
    return norm_kind(norm) == "ILN" and "clip" not in norm


def rho_of(gate: Any, norm: str) -> Array:
    """Return ρ of a gate, 0 to 1; a gate that a float cannot tell from 0 or 1 has |ρ| = 16.

    >>> [round(float(rho_of(0.731, norm)), 2) for norm in ("ILN", "ILN(gate=clip)", "BIN")]
    [1.0, 0.73, 0.73]
    """
    share = np.asarray(gate, float)
    if not is_logistic(norm):
        return share
    inside = np.clip(share, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(inside / (1 - inside)))


def gate_of(rho: Any, norm: str) -> Array:
    """Return the gate of ρ: what `rho_of` inverts."""
    value = np.asarray(rho, float)
    return np.asarray(1 / (1 + np.exp(-value))) if is_logistic(norm) else value


def start(norm: str) -> float:
    """Return ρ before training: BN alone in BIN, 0.5 in ILN, of softmax the difference of two.

    >>> [start(norm) for norm in ("BIN", "ILN", "ILN(gate=clip)", "ILN(gate=softmax)")]
    [1.0, 0.5, 0.5, 0.0]
    """
    if norm_kind(norm) == "BIN":
        return 1.0
    return 0.0 if "softmax" in norm else 0.5


def chosen(depths: Sequence[int]) -> list[int]:
    """Return at most `MOST` of these depths: the first, the last and others evenly between.

    >>> chosen(list(range(22)))
    [0, 3, 6, 9, 12, 15, 18, 21]
    """
    places = np.linspace(0, len(depths) - 1, min(MOST, len(depths))).round().astype(int)
    return [depths[place] for place in places]


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw the curves of one arm: ρ over samples seen in chosen slots, a band over trainings.

    Each curve ends in its slot's place in order of depth, as `draw_ends` lists them. Where the gate
    is not ρ itself, it is the axis at the right.
    """
    norm = str(df["norm"].iloc[0])
    colours, first = number_colours(df["depth"]), start(norm)
    curves = {d: df[df["depth"] == d] for d in chosen(sorted(df["depth"].unique()))}
    unit, name = samples_unit(df["samples"].max())
    for depth, own in curves.items():
        x = [0.0, *(own["samples"] / unit)]
        ax.fill_between(x, [first, *own["low"]], [first, *own["high"]], color=colours[depth],
                        alpha=0.15, linewidth=0)  # fmt: skip
        ax.plot(x, [first, *own["rho"]], color=colours[depth], linewidth=1.5)
    ax.axhline(first, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    end = df["samples"].max() / unit
    ax.set(xlabel=name, xlim=(0, 1.13 * end))
    ax.margins(y=0.06)
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    last = sorted((float(own["rho"].iloc[-1]), depth) for depth, own in curves.items())
    low, high = ax.get_ylim()
    places = spread([rho for rho, _ in last], 0.05 * (high - low))
    for (rho, depth), place in zip(last, places, strict=True):
        ax.annotate(str(depth + 1), (end, rho), (1.05 * end, place), va="center", fontsize=8,
                    color=colours[depth], fontweight="bold", annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": colours[depth], "lw": 0.6,
                                "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)})  # fmt: skip

    if is_logistic(norm):
        both = (lambda rho: gate_of(rho, norm)), (lambda gate: rho_of(gate, norm))
        ax.secondary_yaxis("right", functions=both).set_ylabel(
            f"gate, the share of {_branch(norm)}"
        )


def _branch(norm: str) -> str:
    return BRANCH[norm_kind(norm)]


def draw_ends(df: pd.DataFrame, ax: Axes) -> None:
    """Draw where ρ of every slot of one arm ends, in order of depth, with its spread."""
    last = df.sort_values("evaluation").drop_duplicates("slot", keep="last").sort_values("depth")
    colours = number_colours(last["depth"])
    places = range(len(last))
    ax.hlines(places, last["low"], last["high"], color="#999999", linewidth=1.2)
    ax.scatter(last["rho"], places, s=24, c=[colours[d] for d in last["depth"]], zorder=3,
               edgecolors="white", linewidths=0.5)  # fmt: skip
    ax.axvline(start(str(df["norm"].iloc[0])), color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    names = zip(last["slot"], last["depth"], strict=True)
    ax.set_yticks(places, [f"{slot_label(slot)}  {depth + 1}" for slot, depth in names])
    ax.set(ylim=(len(last) - 0.4, -0.6), xlabel="ρ at the end of training")
    ax.tick_params(axis="y", length=0, labelsize=7.5)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    counts = sorted(df["trainings"].unique())
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    spread = "; bands and grey lines: lowest to highest" if counts[-1] > 1 else ""
    return (
        f"Mean over {span} training{'s' if counts[-1] > 1 else ''}{spread}. Numbers: "
        "the slot's place in order of depth. A gate of 1 is IN alone in ILN, BN alone in BIN "
        "(there ρ is the gate, and the mean over channels); a gate of 0 is LN alone and IN alone. "
        "Of a softmax gate ρ is the difference of its two. Dashed: where it began."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure gates; raises StudyError without a COMPLETE trial with ILN or BIN."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: gates needs a COMPLETE trial with ILN or BIN in at least one slot."
        )
    rows = list(df.groupby(["arm", "norm"], sort=False))
    height = max(3.4, 1.0 + 0.145 * df["slot"].nunique()) * len(rows) + 0.5
    fig = Figure(figsize=(8.4, height), layout="constrained")
    axes = fig.subplots(len(rows), 2, squeeze=False, width_ratios=[1.5, 1])
    for (left, right), ((arm, norm), own) in zip(axes, rows, strict=True):
        draw(own, left)
        draw_ends(own, right)
        title = str(arm) if norm_kind(str(arm)) == norm_kind(str(norm)) else f"{arm}: {norm}"
        words = "ρ" if is_logistic(str(norm)) else f"ρ, the share of {_branch(str(norm))}"
        left.set(title=title, ylabel=words)
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw gates from the command line: ``STUDY [-o FILE]``."""
    return command("gates", argv)


if __name__ == "__main__":
    sys.exit(main())
