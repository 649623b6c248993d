"""Pictures of what Switchable Norm chose in the trainings of an experiment, beside its paper's.

Each draws what a part of an experiment measured: by batch size, by block and by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normsearch.analysis import palette, sn_by_batch, sn_by_depth
from normsearch.analysis.arms import SHARE, bars, interval, seeds_note
from normsearch.analysis.palette import line_colour, norm_colour, norm_marker
from normsearch.analysis.paper_comparison import legend_handles
from normsearch.analysis.papers import SN_BLOCKS
from normsearch.analysis.sn_by_depth import STATISTICS
from normsearch.analysis.sn_weights import BRANCHES, distance_moved
from normsearch.errors import StudyError

_TRAINING = ["number", "arm", "batch_size", "seed"]
_LAYER = ["slot", "depth", "statistic"]

#: Kind of layer -> its marker and its name in a legend; the first whose word is in a slot's name.
LAYERS = {"shortcut": ("D", "1×1 shortcut"), ".up": ("^", "up-convolution"), "": ("s", "3×3")}

#: Batch size of the paper's shares by block (images a GPU).
PAPER_BATCH = 32


class MeasuredLike(Protocol):
    """What a part of an experiment measured, as far as these pictures read it."""

    @property
    def learnt(self) -> pd.DataFrame:
        """One row for each weight that an adaptive norm of a training ended with."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each training: arm, norm, batch_size, seed, score."""


def compute(measured: MeasuredLike) -> pd.DataFrame:
    """Return the weights that Switchable Norms learnt, see `sn_by_depth.compute`, and number.

    Raises:
        StudyError: no training has learnt any.
    """
    learnt = measured.learnt
    found = learnt[learnt["statistic"].isin(STATISTICS)] if len(learnt) else learnt
    if found.empty:
        raise StudyError(
            "learnt: must hold the weights of a Switchable Norm (SN), and holds none; the "
            "experiment needs a COMPLETE training of an arm with SN."
        )
    table = found.pivot_table(index=[*_TRAINING, *_LAYER], columns="branch", values="weight")
    table = table.reindex(columns=list(BRANCHES)).fillna(0.0)  # BN is out at batch size 1
    rows = table.to_numpy(float)
    moved = [distance_moved(dict(zip(BRANCHES, row, strict=True))) for row in rows]
    long = table.assign(moved=moved).melt("moved", BRANCHES, "branch", "weight", ignore_index=False)
    return long.reset_index().sort_values(["batch_size", "number", "depth"], kind="stable")


def block(slot: str) -> str:
    """Return the block of a layer; the stem of a residual network counts with its first stage.

    >>> [block(name) for name in ("stem.norm", "stage2.block1.conv1.norm", "dec1.up.norm")]
    ['stage1', 'stage2', 'dec1']
    """
    head = slot.partition(".")[0]
    return "stage1" if head == "stem" else head


def blocks(df: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """Average weights over the layers of a block and both statistics, then over seeds.

    Returns:
        One row a batch size, block and branch, in order of depth, with columns batch_size, block,
        branch, mean (share, 0 to 1), low and high (95 % t interval over seeds), seeds.
    """
    own = df[df["batch_size"].isin(sizes)]
    own = own.assign(block=own["slot"].map(block)).sort_values("depth", kind="stable")
    by = ["batch_size", "block", "branch"]
    seeds = own.groupby([*by, "seed"], sort=False)["weight"].mean()
    rows = [(*key, *interval(group)) for key, group in seeds.groupby(by, sort=False)]
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds"])


def by_batch(measured: MeasuredLike) -> Figure:
    """Return the mean shares of BN, IN and LN over batch sizes, beside the paper's.

    All layers count at every batch size.

    Raises:
        StudyError: no SN, or one batch size alone.
    """
    df = sn_by_batch.averaged(compute(measured))
    if df["batch_size"].nunique() < 2:
        raise StudyError("learnt: must hold weights at two batch sizes or more, and holds one.")
    palette.style()
    fig = Figure(figsize=(6.8, 4.7), layout="constrained")
    ax = fig.subplots()
    sn_by_batch.draw(df, ax, "both")
    ax.set(title="", ylabel="Mean share over layers (0 to 1)", ylim=(0, None))
    handles = [*ax.get_legend_handles_labels()[0], legend_handles()[0]]
    _legend(fig, "What Switchable Norm prefers as the batch shrinks", handles)
    palette.caption_below(fig, sn_by_batch.describe(df))
    return fig


def scores_by_batch(measured: MeasuredLike) -> Figure:
    """Return the mean score of each norm over batch sizes, as figure 1b of the paper.

    Raises:
        StudyError: one batch size alone.
    """
    trials = measured.trials.fillna({"score": 0.0})
    sizes = sorted(trials["batch_size"].unique(), reverse=True)
    if len(sizes) < 2:
        raise StudyError("trials: must have two batch sizes or more, and have one.")
    palette.style()
    fig = Figure(figsize=(6.8, 4.7), layout="constrained")
    ax = fig.subplots()
    for place, norm in enumerate(map(str, trials["norm"].unique())):
        own = trials[trials["norm"] == norm]
        rows = [interval(own.loc[own["batch_size"] == size, "score"]) for size in sizes]
        df = pd.DataFrame(rows, columns=["mean", "low", "high", "seeds"])
        ax.errorbar(np.arange(len(sizes)) + 0.06 * (place - 1), df["mean"], yerr=bars(df, SHARE),
                    color=line_colour(norm), marker=norm_marker(norm), markersize=6,
                    linewidth=1.8, elinewidth=1, capsize=2.5, label=norm)  # fmt: skip
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set(xlabel="Batch size (samples a step)", ylabel="Score of held-out images (0 to 1)")
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)
    _legend(fig, "The score over batch sizes", ax.get_legend_handles_labels()[0])
    palette.caption_below(fig, seeds_note(trials.groupby("arm")["seed"].nunique()))
    return fig


def by_block(measured: MeasuredLike) -> Figure:
    """Return the shares of BN, IN and LN by block of the network, at up to three batch sizes.

    The smallest, the middle and the largest; the paper's numbers stand in the panel of their own
    batch size, for residual networks.

    Raises:
        StudyError: no SN.
    """
    df = compute(measured)
    sizes = sorted(df["batch_size"].unique())
    sizes = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})
    found = blocks(df, sizes)
    palette.style()
    names = list(found["block"].unique())
    width = max(2.9, 0.42 * len(names)) * len(sizes) + 0.6
    fig = Figure(figsize=(width, 4.4), layout="constrained")
    axes = np.ravel(fig.subplots(1, len(sizes), sharey=True, squeeze=False))
    residual = all(name.startswith("stage") for name in names)
    for ax, size in zip(axes, sizes, strict=True):
        _draw_blocks(found[found["batch_size"] == size], ax)
        if residual and size == PAPER_BATCH:
            _draw_paper(ax, len(names))
        ax.set_title(f"batch size {size}")
    axes[0].set(ylabel="Mean share in the block (0 to 1)", ylim=(0, None))
    told = residual and PAPER_BATCH in sizes
    handles = [*axes[0].get_legend_handles_labels()[0], *legend_handles()[:told]]
    _legend(fig, "What Switchable Norm prefers along the network", handles)
    palette.caption_below(fig, _of_blocks(found, told))
    return fig


def _draw_blocks(df: pd.DataFrame, ax: Axes) -> None:
    """Draw one batch size: a line a branch over the blocks, with intervals over seeds."""
    names = list(df["block"].unique())
    for place, branch in enumerate(BRANCHES):
        own = df[df["branch"] == branch]
        own = own[own["mean"] > 0]
        x = [names.index(name) + 0.07 * (place - 1) for name in own["block"]]
        ax.errorbar(x, own["mean"], yerr=bars(own, SHARE), color=line_colour(branch), linewidth=1.9,
                    marker=norm_marker(branch), markersize=6, elinewidth=1, capsize=2.5,
                    label=branch)  # fmt: skip
    ax.axhline(1 / 3, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    told = ["stem +\nstage1" if name == "stage1" else name for name in names]
    steep = len(names) > 5
    ax.set_xticks(range(len(names)), told, rotation=60 if steep else 0)
    ax.set_xlim(-0.4, len(names) - 0.6)
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def _draw_paper(ax: Axes, places: int) -> None:
    """Draw the paper's five blocks, spread from our first to our last."""
    x = np.linspace(0, places - 1, len(SN_BLOCKS))
    for branch in BRANCHES:
        ax.plot(x, [row[branch] for row in SN_BLOCKS.values()], color=line_colour(branch),
                linestyle=":", linewidth=1.1, marker=norm_marker(branch), markersize=6,
                markerfacecolor="white")  # fmt: skip


def _of_blocks(df: pd.DataFrame, paper: bool) -> str:
    told = (
        " Hollow, dotted: the weights of the mean in the five blocks of ResNet-50 on ImageNet at "
        f"{PAPER_BATCH} images a GPU, spread over ours (Luo et al. 2018, read off figures, ±.02)."
    )
    return (
        f"{seeds_note(df['seeds'], of_cases=False)} All layers of a block, weights of mean and "
        f"variance together; dashed: equal shares.{told if paper else ''}"
    )


def by_slot(measured: MeasuredLike) -> Figure:
    """Return the shares in every layer, for mean and variance, at the smallest and largest batch.

    Lines part the blocks of the network; marks tell kinds of layer.

    Raises:
        StudyError: no SN.
    """
    df = compute(measured)
    sizes = sorted({df["batch_size"].min(), df["batch_size"].max()})
    slots = list(df.sort_values("depth")["slot"].unique())
    palette.style()
    fig = Figure(figsize=(2.2 + 3.6 * len(sizes), 2.1 + 0.23 * len(slots)), layout="constrained")
    axes = fig.subplots(1, 2 * len(sizes), sharey=True)
    panels = [(size, statistic) for size in sizes for statistic in STATISTICS]
    for ax, (size, statistic) in zip(axes, panels, strict=True):
        sn_by_depth.draw(df[df["batch_size"] == size], ax, statistic)
        _part_blocks(slots, ax)
        ax.set_title(f"batch size {size}")
        ax.set_xlabel(f"Weight of the {statistic}")
    names = [palette.slot_label(slot).replace(".block1", "") for slot in slots]
    axes[0].set_yticks(range(len(slots)), names)
    axes[0].tick_params(axis="y", pad=16)
    axes[0].set_ylabel("Layer, in order of depth")
    kinds = _mark_kinds(slots, axes[0])
    _legend(fig, "What Switchable Norm chose in each layer", _slot_legend(kinds))
    told = sn_by_depth.describe(df[df["batch_size"].isin(sizes)])
    palette.caption_below(fig, f"{told} Long lines part the blocks of the network.")
    return fig


def _part_blocks(slots: Sequence[str], ax: Axes) -> None:
    """Draw a line between the layers of two blocks."""
    for place, (above, below) in enumerate(pairwise(slots)):
        if block(above) != block(below):
            ax.axhline(place + 0.5, color="black", linewidth=1.1, zorder=4)


def _mark_kinds(slots: Sequence[str], ax: Axes) -> list[str]:
    """Mark the kind of each layer beside its name and return the kinds that there are."""
    kinds = [next(word for word in LAYERS if word in slot) for slot in slots]
    for word in dict.fromkeys(kinds):
        places = [place for place, kind in enumerate(kinds) if kind == word]
        ax.scatter([-0.07] * len(places), places, marker=LAYERS[word][0], s=17, color="#333333",
                   facecolors="#333333" if word else "white", transform=ax.get_yaxis_transform(),
                   clip_on=False, linewidths=0.8)  # fmt: skip
    return [word for word in reversed(LAYERS) if word in kinds]


def _slot_legend(kinds: Sequence[str]) -> list[Patch | Line2D]:
    """Return what colours, hatches and marks mean."""
    handles: list[Patch | Line2D] = [
        Patch(facecolor=norm_colour(branch), label=branch) for branch in BRANCHES
    ]
    handles.append(Patch(facecolor="#999999", hatch="////", edgecolor="white", label="not moved"))
    return handles + [
        Line2D([], [], linestyle="", marker=LAYERS[word][0], markersize=4.5, color="#333333",
               markerfacecolor="#333333" if word else "white", label=LAYERS[word][1])
        for word in kinds
    ]  # fmt: skip


def _legend(fig: Figure, title: str, handles: Sequence[Any]) -> None:
    """Put the figure's title, and what its marks are, above the axes."""
    bold = {"weight": "bold", "size": 12}
    fig.legend(handles=handles, title=title, title_fontproperties=bold, frameon=False, ncols=7,
               loc="outside upper center", handletextpad=0.5, columnspacing=1.4)  # fmt: skip
