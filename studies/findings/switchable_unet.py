"""What Switchable Norm chooses in a U-Net, by batch size and place: P1S to P5S."""

import pandas as pd

from normsearch.analysis import switchable as pictures
from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part, slope
from normsearch.findings.marks import Power

SOURCE = (
    "Luo et al., Differentiable learning-to-normalize via switchable normalization, arXiv "
    "1806.10779, asked of segmentation; the blog's wording of P4 (seed 003)"
)
NOTES = """
The left ventricle in MR slices of 32 x 32 pixels, a U-Net of depth 4, whose lowest maps are 2 x 2.
Equal samples, the logits of the weights at ten times the network's rate at toy and small scale.
Places are blocks of the U-Net: enc1 is the first, dec1 the last.

Abandoned: see switchable.
"""
BATCHES, RATES = (2, 4, 16), {2: 0.05, 4: 0.1, 16: 0.4}
PILOT = "a pilot of seeds 0 to 2 at toy scale"


@part
def unet_shares(scale: str) -> Trainings:
    """SN in every slot, three batch sizes."""
    size, channels, samples, gates = 32, 8, 16_000, 10
    if scale == "small":
        size, channels, samples = 96, 16, 64_000
    if scale == "paper":
        size, channels, samples, gates = 256, 64, 500_000, 1
    return Trainings(
        arms=[arm("SN", batch_size=batch, learning_rate=RATES[batch]) for batch in BATCHES],
        seeds=range(5, 11),
        task={
            "data": "sunnybrook", "size": [size, size], "intensity": "percentile",
            "validation": "test", "test_folds": [3],
        },
        network={"name": "unet2d", "first_channels": channels, "depth": 4},
        training={
            "samples": samples, "evaluations": 3, "statistics_samples": 64,
            "gate_learning_rate_factor": gates,
        },
    )  # fmt: skip


def by_place(shares: Measured, size: int, statistic: str) -> pd.DataFrame:
    """Mean weights at a batch size: a row a seed, columns (branch, block of the U-Net)."""
    blocks = shares.learnt["slot"].str.partition(".")[0]
    table = Measured(learnt=shares.learnt.assign(block=blocks))
    return table.shares(["branch", "block"], batch_size=size, statistic=statistic)


@finding(
    "P1S",
    "The share of Batch Normalization falls as the batch shrinks, in a U-Net.",
    paper="of ResNet-50, images a GPU 16, 4, 2: .53, .27, .15",
    metric="slope of the mean weight of BN, over layers and both statistics, per doubling of the "
    "batch size",
    plan=Power(0.025, 0.012, 6, PILOT),
    advice={"reproduced": "In a U-Net, too, a small batch moves the choice away from batch "
            "statistics, though less: its large maps hold many values."},
    picture=pictures.by_batch,
)  # fmt: skip
def p1s(unet_shares: Measured) -> Contrast:
    table = unet_shares.shares("batch_size", branch="BN")
    return slope(table, name="BN's share per doubling of the batch")


@finding(
    "P2S",
    "The shares of Instance and of Layer Normalization rise as the batch shrinks, in a U-Net.",
    paper="of ResNet-50, images a GPU 16, 4, 2: IN .19, .25, .31, LN .29, .48, .55",
    metric="slopes of the mean weights of IN and of LN, per halving of the batch size",
    plan=Power(0.015, 0.008, 6, PILOT, comparisons=2),
    advice={"reproduced": "Both take over from batch statistics as the batch shrinks."},
    picture=pictures.by_batch,
)
def p2s(unet_shares: Measured) -> list[Contrast]:
    return [
        slope(unet_shares.shares("batch_size", branch=branch), falls=True,
              name=f"{branch}'s share per halving of the batch")
        for branch in ("IN", "LN")
    ]  # fmt: skip


@finding(
    "P3S",
    "The variance weight of Batch Normalization is below its mean weight at small batches, in a "
    "U-Net.",
    paper="in words, of ResNet-50",
    metric="mean weight less variance weight of BN, over layers",
    plan="no pilot value: six seeds find a difference of 1.8 times its SD over seeds in 80%",
    advice={"contradicted": "In a U-Net the variance over the batch is of more use than its mean: "
            "large maps make it precise."},
    picture=pictures.by_slot,
)  # fmt: skip
def p3s(unet_shares: Measured) -> list[Contrast]:
    found = []
    for size in (2, 4):
        table = unet_shares.shares("statistic", branch="BN", batch_size=size)
        name = f"BN's mean weight above its variance weight, batch {size}"
        found.append(difference(table, "mean", "variance", name=name))
    return found


@finding(
    "P5S",
    "The figures' order in a U-Net: LN leads in the first and in the last block.",
    paper="of ResNet-50: block 1 LN .65, block 5 LN .49",
    metric="mean weight of LN less that of IN and of BN in enc1 and in dec1, batch 16",
    plan=Power(0.15, 0.06, 6, PILOT, comparisons=4),
    advice={"contradicted": "The order by depth that the paper draws is one of its network and "
            "data; do not carry it over to yours."},
    picture=pictures.by_block,
)  # fmt: skip
def p5s(unet_shares: Measured) -> list[Contrast]:
    found = []
    for place in ("enc1", "dec1"):
        table = by_place(unet_shares, 16, "mean").xs(place, axis=1, level="block")
        for other in ("IN", "BN"):
            found.append(difference(table, "LN", other, name=f"LN above {other} in {place}"))
    return found


@finding(
    "P4S",
    "In a U-Net IN is used more in the first block than in the last, BN (variance) and LN (mean) "
    "less.",
    paper="ours, from the pilot; the blog says: IN early, BN in the middle, LN last",
    metric="weights in enc1 less those in dec1 at batch size 2: IN (mean), BN (variance) and LN "
    "(mean), the last two with the opposite sign",
    plan=Power(0.15, 0.06, 6, PILOT, comparisons=3),
    advice={"reproduced": "If you mix by hand in a U-Net: IN in the first block, another norm in "
            "the last."},
    picture=pictures.by_slot,
)  # fmt: skip
def p4s(unet_shares: Measured) -> list[Contrast]:
    found = []
    for branch, statistic, more, less in (
        ("IN", "mean", "enc1", "dec1"), ("BN", "variance", "dec1", "enc1"),
        ("LN", "mean", "dec1", "enc1"),
    ):  # fmt: skip
        table = by_place(unet_shares, 2, statistic)[branch]
        name = f"{branch} ({statistic}) in {more} above {less}, batch 2"
        found.append(difference(table, more, less, name=name))
    return found
