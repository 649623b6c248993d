"""Batch and group norms in a deep U-Net, by batch size and number of groups: G1S, Z1."""

import pandas as pd

from normsearch.findings import (
    Contrast,
    Measured,
    Power,
    Trainings,
    arm,
    difference,
    finding,
    mean_of,
    part,
    slope,
)

SOURCE = (
    "Wu & He, Group normalization, 2018, arXiv 1803.08494, asked of segmentation; Zhou & Yang, "
    "Normalization in training U-Net for 2D biomedical semantic segmentation, 2019"
)
NOTES = """
The left ventricle in MR slices of 32 x 32 pixels, a U-Net of depth 4, whose lowest maps are 2 x 2,
so that a batch of 2 gives Batch Normalization 8 values there. Equal samples, the rate in
proportion to the batch. Batch Normalization is judged with the running statistics that training
left.

Abandoned: a U-Net of depth 3, 1,000 samples, Spearman over batch sizes with three seeds (2026-11):
62 steps at batch 16 train no network, and the loss of training is not the fit that Z1 speaks of.
"""
GROUPS = {"GN-1": 0, "GN-2": 1, "GN-4": 2, "IN": 3}
PILOT = "no pilot; an SD of .01 over seeds is assumed"


def trainings(scale: str, samples: int, arms: list, seeds: range, validation: str) -> Trainings:
    """What both parts share."""
    size, channels, factor = {"toy": (32, 8, 1), "small": (96, 16, 4), "paper": (256, 64, 20)}[
        scale
    ]
    return Trainings(
        arms=arms,
        seeds=seeds,
        task={"data": "sunnybrook", "size": [size, size], "intensity": "percentile",
              "validation": validation, "test_folds": [3]},
        network={"name": "unet2d", "first_channels": channels, "depth": 4},
        training={"samples": samples * factor, "evaluations": 1, "recompute_statistics": False},
    )  # fmt: skip


@part
def by_batch(scale: str) -> Trainings:
    """BN and GN at batch 2 and 16."""
    arms = [
        arm(norm, batch_size=size, learning_rate=0.4 * size / 16)
        for norm in ("BN", "GN-4")
        for size in (2, 16)
    ]
    return trainings(scale, 6000, arms, range(5, 15), "test")


def grouped() -> list[dict]:
    """Numbers of groups from 1 to one channel a group (IN), at batch 1, 4 and 16."""
    return [
        arm(norm, batch_size=size, learning_rate=0.4 * size / 16)
        for norm in GROUPS
        for size in (1, 4, 16)
    ]


@part
def by_groups(scale: str) -> Trainings:
    """Scored on test subjects."""
    return trainings(scale, 3000, grouped(), range(5, 11), "test")


@part
def fitted(scale: str) -> Trainings:
    """The same trainings, scored on the subjects they were trained on."""
    return trainings(scale, 3000, grouped(), range(5, 11), "training")


def by_group_count(table: pd.DataFrame) -> pd.DataFrame:
    """Columns in order of the number of groups, 0 to 3."""
    return table.rename(columns=GROUPS).sort_index(axis=1)


@finding(
    "G1S",
    "In a deep U-Net BN's Dice falls as the batch shrinks, GN's does not.",
    paper="error of ResNet-50 at batch 32 and 2 a GPU: BN 23.6, 34.7; GN 24.1, 24.1",
    metric="Dice of test cases at batch 16 less that at batch 2: BN's above 0, GN-4's within .02",
    plan=Power(0.02, 0.01, 10, PILOT, comparisons=2),
    advice={
        "reproduced": "Below 16 samples a batch, do not use BN in a U-Net as deep as this.",
        "contradicted": "A batch of 2 does not harm BN in a U-Net by itself: even its lowest maps "
        "hold several values, and small batches take more steps.",
    },
)
def g1s(by_batch: Measured) -> list[Contrast]:
    found = []
    for norm, more in (("BN", {"margin": 0.02}), ("GN-4", {"claim": "within", "margin": 0.02})):
        table = by_batch.scores("batch_size", norm=norm)
        name = f"{norm}'s Dice at batch 16 above that at batch 2"
        found.append(difference(table, 16, 2, name=name, unit="Dice", **more))
    return found


@finding(
    "Z1",
    "Validation Dice rises with the number of groups without a matching rise in training Dice.",
    paper="in words (GN-1, 4, 16, C at batch 1, 4, 16)",
    metric="slope of Dice from GN-1 over GN-2 and GN-4 to one channel a group, a step; and how far "
    "test Dice rises more steeply than training Dice; mean over batch sizes",
    plan=Power(0.01, 0.005, 6, PILOT, comparisons=2),
    advice={"reproduced": "More groups generalize better here, they do not fit better."},
)
def z1(by_groups: Measured, fitted: Measured) -> list[Contrast]:
    test = slope(by_group_count(by_groups.scores("norm")), name="test Dice rises with the groups",
                 log2=False, unit="Dice", margin=0.005)  # fmt: skip
    slopes = [
        slope(by_group_count(part.means("norm")), name="", log2=False).values
        for part in (by_groups, fitted)
    ]
    more = mean_of(slopes[0] - slopes[1], "test Dice rises more steeply than training Dice",
                   unit="Dice", margin=0.005)  # fmt: skip
    return [test, more]
