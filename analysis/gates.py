"""Where do the gates of ILN and BIN go? Their ρ over training, and where each layer's ends.

ρ is the share of IN against LN in ILN, of BN against IN in BIN (there the mean over channels).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import completed, samples_unit
from normsearch.analysis.palette import caption_below, norm_kind, number_colours, slot_label
from normsearch.analysis.search_history import spread
from normsearch.errors import StudyError

COLUMNS = ["norm", "slot", "depth", "samples", "evaluation", "rho", "low", "high", "trainings"]

READING = {
    "gates": (
        "Where the gates of ILN and BIN go",
        "The learnt share ρ over training in up to eight slots, and where it ends in every "
        "slot. In a search the trainings differ in more than their seed.",
    )
}

#: The branch whose share is ρ.
BRANCH = {"ILN": "IN", "BIN": "BN"}
#: No more curves than this are drawn: those of the first, the last and slots between.
MOST = 8


def compute(study: StudyLike) -> pd.DataFrame:
    """Average ρ of each slot at each evaluation point, over COMPLETE trainings with a gate there.

    Trainings of a search differ in more than their seed; those of an arm do not.

    Returns:
        One row for each norm spec with a gate, slot and evaluation point, with columns norm, slot,
        depth (0-based), samples (seen), evaluation, rho (mean, 0 to 1), low
        and high (lowest and highest training), trainings (how many). Empty if there are none.
    """
    table = study.trials()
    done = completed(table)
    parts = []
    for number in done["number"] if len(done) else []:
        norms = {s: n for s, n in study.norm_map(number).items() if norm_kind(n) in BRANCH}
        if norms:
            points = study.learnt_history(number)
            points = points[points["slot"].isin(norms)]
            norm = points["slot"].map(norms)
            own = points["branch"] == norm.map(lambda spec: BRANCH[norm_kind(spec)])
            parts.append(points.assign(norm=norm)[own])
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = (
        pd.concat(parts)
        .groupby(["norm", "slot", "evaluation"], as_index=False)
        .agg(
            samples=("samples", "first"),
            rho=("weight", "mean"),
            low=("weight", "min"),
            high=("weight", "max"),
            trainings=("weight", "size"),
        )
    )
    found["depth"] = [list(study.slots).index(slot) for slot in found["slot"]]
    return found.sort_values(["norm", "depth", "evaluation"], ignore_index=True)[COLUMNS]


def start(norm: str) -> float:
    """Return ρ before training: BN alone in BIN, sigmoid(0.5) or a half in ILN.

    >>> [round(start(norm), 3) for norm in ("BIN", "ILN", "ILN(gate=clip)")]
    [1.0, 0.622, 0.5]
    """
    if norm_kind(norm) == "BIN":
        return 1.0
    return 0.5 if "clip" in norm or "softmax" in norm else float(1 / (1 + np.exp(-0.5)))


def chosen(depths: Sequence[int]) -> list[int]:
    """Return at most `MOST` of these depths: the first, the last and others evenly between.

    >>> chosen(list(range(22)))
    [0, 3, 6, 9, 12, 15, 18, 21]
    """
    places = np.linspace(0, len(depths) - 1, min(MOST, len(depths))).round().astype(int)
    return [depths[place] for place in places]


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw the curves of one norm: ρ over samples seen in chosen slots, a band over trainings.

    Each curve ends in its slot's place in order of depth, as `draw_ends` lists them.
    """
    colours, first = number_colours(df["depth"]), start(str(df["norm"].iloc[0]))
    curves = {d: df[df["depth"] == d] for d in chosen(sorted(df["depth"].unique()))}
    unit, name = samples_unit(df["samples"].max())
    for depth, own in curves.items():
        x = [0.0, *(own["samples"] / unit)]
        ax.fill_between(x, [first, *own["low"]], [first, *own["high"]], color=colours[depth],
                        alpha=0.15, linewidth=0)  # fmt: skip
        ax.plot(x, [first, *own["rho"]], color=colours[depth], linewidth=1.5)
    ax.axhline(first, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    end = df["samples"].max() / unit
    ax.set(xlabel=name, xlim=(0, end))
    ax.margins(y=0.06)
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    last = sorted((float(own["rho"].iloc[-1]), depth) for depth, own in curves.items())
    low, high = ax.get_ylim()
    places = spread([rho for rho, _ in last], 0.05 * (high - low))
    for (rho, depth), place in zip(last, places, strict=True):
        ax.annotate(str(depth + 1), (end, rho), (1.04, place), va="center", fontsize=8,
                    textcoords=ax.get_yaxis_transform(), color=colours[depth],
                    fontweight="bold", annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": colours[depth], "lw": 0.6,
                                "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)})  # fmt: skip


def draw_ends(df: pd.DataFrame, ax: Axes) -> None:
    """Draw where ρ of every slot of one norm ends, in order of depth, with its spread."""
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
        "the slot's place in order of depth. ρ = 1 is IN alone in ILN, BN alone in BIN (the mean "
        "over channels); ρ = 0 is LN alone and IN alone. Dashed: where it began."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure gates; raises StudyError without a COMPLETE trial with ILN or BIN."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: gates needs a COMPLETE trial with ILN or BIN in at least one slot."
        )
    norms = list(df["norm"].unique())
    height = max(3.4, 1.0 + 0.145 * df["slot"].nunique()) * len(norms) + 0.5
    fig = Figure(figsize=(7.6, height), layout="constrained")
    axes = fig.subplots(len(norms), 2, squeeze=False, sharex="col", width_ratios=[1.5, 1])
    for row, norm in enumerate(norms):
        draw(df[df["norm"] == norm], axes[row, 0])
        draw_ends(df[df["norm"] == norm], axes[row, 1])
        branch = BRANCH[norm_kind(norm)]
        axes[row, 0].set(title=norm, ylabel=f"ρ, the share of {branch}")
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw gates from the command line: ``STUDY [-o FILE]``."""
    return command("gates", argv)


if __name__ == "__main__":
    sys.exit(main())
