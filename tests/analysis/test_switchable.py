"""Pictures of Switchable Norm of an experiment, by hand."""

from __future__ import annotations

from typing import cast

import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from normsearch.analysis.papers import SN_BLOCKS, SN_SHARES
from normsearch.analysis.switchable import (
    block,
    blocks,
    by_batch,
    by_block,
    by_slot,
    compute,
    scores_by_batch,
)
from normsearch.errors import StudyError
from normsearch.findings.measured import Measured

RESNET = [
    "stem.norm", "stage1.block1.conv1.norm", "stage2.block1.conv1.norm",
    "stage2.block1.shortcut.norm", "stage3.block1.conv1.norm", "stage4.block1.conv1.norm",
]  # fmt: skip
UNET = [
    "enc1.conv1.norm", "enc2.conv1.norm", "bottom.conv1.norm", "dec2.up.norm", "dec1.up.norm",
    "dec1.conv1.norm",
]  # fmt: skip


def measured(
    slots: list[str] = RESNET, sizes: tuple[int, ...] = (2, 8, 32), seeds: int = 3
) -> Measured:
    """BN's weight is 0.1 at batch 2, 0.3 at 8, 0.5 at 32, less 0.02 a seed; LN has 0.3 of both."""
    rows = []
    for place, size in enumerate(sizes):
        for seed in range(seeds):
            bn = 0.0 if size == 1 else 0.1 + 0.2 * place - 0.02 * seed
            for depth, slot in enumerate(slots):
                for statistic in ("mean", "variance"):
                    weights = {"IN": 0.7 - bn, "LN": 0.3, "BN": bn}
                    if slot == "stage4.block1.conv1.norm" and statistic == "variance":
                        weights = dict.fromkeys(weights, 1 / 3)
                    rows += [
                        (10 * place + seed, f"SN, batch {size}", seed, None, "SN", size, slot,
                         statistic, branch, weight, depth)
                        for branch, weight in weights.items() if not (size == 1 and branch == "BN")
                    ]  # fmt: skip
    columns = ["number", "arm", "seed", "fold", "norm", "batch_size", "slot", "statistic",
               "branch", "weight", "depth"]  # fmt: skip
    return Measured(learnt=pd.DataFrame(rows, columns=columns))


def lines(figure: Figure, panel: int) -> dict[str, list[float]]:
    """What is drawn of ours in a panel: branch -> heights."""
    handles, labels = figure.axes[panel].get_legend_handles_labels()
    return {
        label: list(cast(ErrorbarContainer, handle).lines[0].get_ydata())
        for handle, label in zip(handles, labels, strict=True)
    }


def test_every_layer_counts_at_every_batch_size() -> None:
    figure = by_batch(measured())
    drawn = lines(figure, 0)
    assert drawn["BN"] == pytest.approx(
        [(11 * (own - 0.02) + 1 / 3) / 12 for own in (0.5, 0.3, 0.1)]
    )  # eleven of twelve weights moved, one is a third
    caption = figure.get_supxlabel()
    assert "Mean over 3 seeds" in caption
    assert "of 12 weights" in caption
    assert "equal shares (dashed): 1 at 2, 1 at 8, 1 at 32." in caption.replace("\n", " ")


def test_the_papers_shares_are_hollow_and_dotted() -> None:
    hollow = [line for line in by_batch(measured()).axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_markerfacecolor() for line in hollow] == ["white"] * 3
    told = [[row[branch] for row in SN_SHARES.values() if branch in row]
            for branch in ("IN", "LN", "BN")]  # fmt: skip
    assert [list(line.get_ydata()) for line in hollow] == told
    for row in SN_BLOCKS.values():
        assert sum(row.values()) == pytest.approx(1, abs=0.021)


def test_a_branch_that_is_out_at_batch_size_1_is_not_drawn_there() -> None:
    drawn = lines(by_batch(measured(sizes=(1, 4))), 0)
    assert {branch: len(heights) for branch, heights in drawn.items()} == {
        "IN": 2, "LN": 2, "BN": 1,
    }  # fmt: skip


def test_blocks_by_hand() -> None:
    assert [block(slot) for slot in RESNET] == ["stage1"] * 2 + ["stage2"] * 2 + [
        "stage3",
        "stage4",
    ]
    df = blocks(compute(measured()), [32])
    bn = df[df["branch"] == "BN"].set_index("block")
    assert list(bn.index) == ["stage1", "stage2", "stage3", "stage4"]
    assert bn.loc["stage2", "mean"] == pytest.approx(0.48)
    assert bn.loc["stage4", "mean"] == pytest.approx((0.48 + 1 / 3) / 2)
    assert bn["seeds"].tolist() == [3] * 4
    assert (bn.loc["stage2", "low"], bn.loc["stage2", "high"]) == pytest.approx(
        (0.48 - 4.3027 * 0.02 / 3**0.5, 0.48 + 4.3027 * 0.02 / 3**0.5), abs=1e-5
    )


def test_the_papers_blocks_stand_at_its_own_batch_size() -> None:
    figure = by_block(measured())
    assert [ax.get_title() for ax in figure.axes] == [f"batch size {n}" for n in (2, 8, 32)]
    dotted = [[line for line in ax.lines if line.get_linestyle() == ":"] for ax in figure.axes]
    assert [len(panel) for panel in dotted] == [0, 0, 3]
    assert list(dotted[2][2].get_ydata()) == [row["BN"] for row in SN_BLOCKS.values()]
    assert list(dotted[2][2].get_xdata()) == pytest.approx([0, 0.75, 1.5, 2.25, 3])
    assert "Hollow, dotted" in figure.get_supxlabel()


def test_a_u_net_has_its_own_blocks_and_no_paper() -> None:
    figure = by_block(measured(UNET, sizes=(2, 4, 8, 16, 32)))
    assert [ax.get_title() for ax in figure.axes] == [f"batch size {n}" for n in (2, 8, 32)]
    names = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert names == ["enc1", "enc2", "bottom", "dec2", "dec1"]
    assert not [ln for ax in figure.axes for ln in ax.lines if ln.get_linestyle() == ":"]
    assert "Hollow" not in figure.get_supxlabel()


def test_layers_are_parted_by_block_and_marked_by_kind() -> None:
    figure = by_slot(measured())
    titles = [(ax.get_title(), ax.get_xlabel()) for ax in figure.axes]
    assert titles == [(f"batch size {size}", f"Weight of the {statistic}")
                      for size in (2, 32) for statistic in ("mean", "variance")]  # fmt: skip
    borders = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert borders == [1.5, 3.5, 4.5]
    marked = [c.get_offsets().tolist() for c in figure.axes[0].collections if len(c.get_offsets())]
    places = [[y for x, y in points if x < 0] for points in marked]
    assert [3] in places
    assert [0, 1, 2, 4, 5] in places
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["IN", "LN", "BN", "not moved", "3×3", "1×1 shortcut"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[2:4] == ["stage2.conv1", "stage2.shortcut"]
    assert "Hatched: 2 of 24 bars" in figure.get_supxlabel()


def test_up_convolutions_have_a_mark_of_their_own() -> None:
    told = [text.get_text() for text in by_slot(measured(UNET)).legends[0].get_texts()]
    assert told[-2:] == ["3×3", "up-convolution"]


@pytest.mark.parametrize("picture", [by_batch, by_block, by_slot])
def test_without_switchable_norm_there_is_no_picture(picture: object) -> None:
    assert callable(picture)
    for other in (Measured(), Measured(learnt=measured().learnt.assign(statistic="gate"))):
        with pytest.raises(StudyError, match="learnt: must hold the weights of a Switchable Norm"):
            picture(other)


def test_one_batch_size_is_no_trend() -> None:
    with pytest.raises(StudyError, match="weights at two batch sizes or more, and holds one"):
        by_batch(measured(sizes=(8,)))


def test_scores_are_drawn_over_batch_sizes() -> None:
    rows = [
        {"arm": f"{norm}, {size}", "norm": norm, "batch_size": size, "seed": seed, "score": score}
        for norm, score in (("BN", 0.8), ("SN", 0.9))
        for size in (2, 32)
        for seed in (5, 6)
    ]
    (ax,) = scores_by_batch(Measured(trials=pd.DataFrame(rows))).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "2"]
    drawn = [cast(ErrorbarContainer, one).lines[0].get_ydata() for one in ax.containers]
    assert [list(line) for line in drawn] == [[0.8, 0.8], [0.9, 0.9]]  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="must have two batch sizes or more"):
        scores_by_batch(Measured(trials=pd.DataFrame(rows[:2])))
