"""What Switchable Norm chooses in a residual classifier, by batch size and depth: P1 to P5."""

import pandas as pd

from normsearch.analysis import switchable as pictures
from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part, slope
from normsearch.findings.marks import Power

SOURCE = (
    "Luo et al., Differentiable learning-to-normalize via switchable normalization, arXiv "
    "1806.10779, figures for ResNet-50 on ImageNet; the blog's wording of P4 (seed 003)"
)
NOTES = """
A small residual network on 720 images of Fashion-MNIST in place of ResNet-50 on ImageNet, the
learning rate in proportion to the batch size, equal epochs. Declared variant at toy and small
scale: the logits of the weights learn at ten times the network's rate, because in so short a
training they would not move otherwise. Block 1 is the stem and the first stage. P4 takes each norm
at a batch size of its own, which the pilot suggested, and against the mean of the other blocks; P7
(switchable_order) asks for the whole order at one batch size. P5 was first judged by the mean of
both statistics, as contradicted; the paper's numbers are weights of the mean, so it is judged by
these.

Abandoned: thirds of a U-Net on 48 x 48 pixels, 2,000 samples, Spearman over four batch sizes with
four seeds (2026-11): the logits hardly moved, large maps give Batch Normalization good statistics
even at batch size 2, and five ranks with few seeds cannot decide.
"""
BATCHES = (2, 4, 8, 16, 32)
PAPER = {
    2: {"BN": 0.15, "IN": 0.31, "LN": 0.55}, 4: {"BN": 0.27, "IN": 0.25, "LN": 0.48},
    8: {"BN": 0.40, "IN": 0.21, "LN": 0.40}, 16: {"BN": 0.53, "IN": 0.19, "LN": 0.29},
    32: {"BN": 0.59, "IN": 0.16, "LN": 0.25},
}  # fmt: skip
BLOCKS = {  # read off figures: weights of the mean at 32 images a GPU, blocks 1, 2, 4 and 5
    1: {"BN": 0.18, "IN": 0.17, "LN": 0.65}, 2: {"BN": 0.56, "IN": 0.15, "LN": 0.29},
    3: {"BN": 0.60, "IN": 0.17, "LN": 0.24}, 4: {"BN": 0.42, "IN": 0.09, "LN": 0.49},
}  # fmt: skip
SLOPE = {  # of the paper's shares, per doubling of the batch size
    branch: sum((place - 2) * PAPER[size][branch] for place, size in enumerate(BATCHES)) / 10
    for branch in ("BN", "IN", "LN")
}
PILOT = "a pilot of seeds 0 to 4 at toy scale"


@part
def shares(scale: str) -> Trainings:
    """SN in every slot, five batch sizes."""
    task = {"data": "fashion_mnist_900", "validation": "test", "test_folds": ["test"]}
    network = {"name": "resnet", "arguments": {"widths": [16, 32, 64, 64]}}
    samples, seeds, gates = 8640, range(5, 12), 10
    if scale == "small":
        samples, seeds = 72_000, range(5, 15)
    if scale == "paper":  # all 60,000 images of Fashion-MNIST
        task = {**task, "data": "fashion_mnist"}
        network = {"name": "resnet", "arguments": {"widths": [64, 128, 256, 512], "blocks": 2}}
        samples, seeds, gates = 1_800_000, range(5, 10), 1
    return Trainings(
        arms=[arm("SN", batch_size=size, learning_rate=0.1 * size / 32) for size in BATCHES],
        seeds=seeds,
        task={**task, "augmentation": {"flip": ["x"]}},
        network=network,
        training={
            "samples": samples, "evaluations": 3, "statistics_samples": 64,
            "gate_learning_rate_factor": gates,
        },
    )  # fmt: skip


def block(learnt: pd.DataFrame) -> pd.Series:
    """The block of each layer: 1 is the stem and the first stage, 4 the last stage."""
    return learnt["slot"].str.extract(r"stage(\d)")[0].fillna("1").astype(int)


def by_block(shares: Measured, size: int, **where: object) -> pd.DataFrame:
    """Mean weights at a batch size: a row a seed, columns (branch, block)."""
    table = Measured(learnt=shares.learnt.assign(block=block(shares.learnt)))
    return table.shares(["branch", "block"], batch_size=size, **where)


@finding(
    "P1",
    "The share of Batch Normalization falls as the batch shrinks.",
    paper="images a GPU 32, 16, 8, 4, 2: .59, .53, .40, .27, .15",
    metric="slope of the mean weight of BN, over layers and both statistics, per doubling of the "
    "batch size",
    plan=Power(0.06, 0.006, 7, PILOT),
    advice={"reproduced": "A network that may choose relies on batch statistics only where the "
            "batch is large: below 8 samples, take a norm that does not use the batch."},
    picture=pictures.by_batch,
)  # fmt: skip
def p1(shares: Measured) -> Contrast:
    table = shares.shares("batch_size", branch="BN")
    return slope(table, name="BN's share per doubling of the batch", published=SLOPE["BN"])


@finding(
    "P2",
    "The shares of Instance and of Layer Normalization rise as the batch shrinks.",
    paper="IN .16, .19, .21, .25, .31 and LN .25, .29, .40, .48, .55 at 32, 16, 8, 4, 2 a GPU",
    metric="slopes of the mean weights of IN and of LN, per halving of the batch size",
    plan=Power(0.02, 0.006, 7, PILOT, comparisons=2),
    advice={"reproduced": "Both take over from batch statistics; neither alone replaces them."},
    picture=pictures.by_batch,
)
def p2(shares: Measured) -> list[Contrast]:
    return [
        slope(shares.shares("batch_size", branch=branch), falls=True,
              name=f"{branch}'s share per halving of the batch", published=-SLOPE[branch])
        for branch in ("IN", "LN")
    ]  # fmt: skip


@finding(
    "P3",
    "The variance weight of Batch Normalization is below its mean weight at small batches.",
    paper="in words: the variance weight is the smaller one at small batch",
    metric="mean weight less variance weight of BN, over layers",
    plan=Power(0.03, 0.02, 7, PILOT, comparisons=2),
    advice={"reproduced": "The batch's variance is the statistic that a small batch spoils; its "
            "mean is of use for longer."},
    picture=pictures.by_slot,
)  # fmt: skip
def p3(shares: Measured) -> list[Contrast]:
    found = []
    for size in (2, 4):
        table = shares.shares("statistic", branch="BN", batch_size=size)
        name = f"BN's mean weight above its variance weight, batch {size}"
        found.append(difference(table, "mean", "variance", name=name))
    return found


@finding(
    "P4",
    "IN is used more in the first block than in the others (batch 8), BN in the third (batch "
    "8), LN in the last (batch 2).",
    paper="the blog's words; the paper's figures say otherwise, see P5",
    metric="mean weights by block: IN in block 1 less the others (batch 8), BN in block 3 less the "
    "others (batch 8), LN in block 4 less the others (batch 2, where BN cannot be)",
    plan=Power(0.1, 0.04, 7, PILOT, comparisons=3),
    advice={"reproduced": "If you mix by hand: IN near the image, LN or GN in the deepest maps, "
            "batch statistics between."},
    picture=pictures.by_block,
)  # fmt: skip
def p4(shares: Measured) -> list[Contrast]:
    found = []
    for branch, place, size in (("IN", 1, 8), ("BN", 3, 8), ("LN", 4, 2)):
        table = by_block(shares, size)[branch]
        others = [number for number in table if number != place]
        table = table.assign(others=table[others].mean(axis=1))
        name = f"{branch} in block {place} above the other blocks, batch {size}"
        found.append(difference(table, place, "others", name=name))
    return found


@finding(
    "P5",
    "The figures' order: LN leads in the first and the last block, BN in those between.",
    paper="(8 GPUs, 32 images): block 1 BN .18, IN .17, LN .65; blocks 2 to 4 BN .51 to .60; block "
    "5 BN .42, IN .09, LN .49",
    metric="weight of the mean, the leader's less each other norm's, by block, batch 32; the "
    "paper's blocks 1, 2, 4 and 5 beside our 1, 2, 3 and 4",
    plan=Power(0.1, 0.04, 7, PILOT, comparisons=8),
    advice={"contradicted": "The order by depth that the paper draws is one of its network and "
            "data; do not carry it over to yours."},
    picture=pictures.by_block,
)  # fmt: skip
def p5(shares: Measured) -> list[Contrast]:
    table = by_block(shares, 32, statistic="mean")
    found = []
    for place, leader in ((1, "LN"), (2, "BN"), (3, "BN"), (4, "LN")):
        own = pd.DataFrame({branch: table[branch][place] for branch in ("BN", "IN", "LN")})
        for other in own.columns.difference([leader]):
            paper = round(BLOCKS[place][leader] - BLOCKS[place][other], 2)
            name = f"{leader} above {other} in block {place}"
            found.append(difference(own, leader, other, name=name, published=paper))
    return found
