"""Does BN's Dice fall, and GN's not, as the batch of a deep U-Net shrinks? G1S."""

from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part

SOURCE = "Wu & He, Group normalization, 2018, arXiv 1803.08494, asked of segmentation"
REPLACES = {"G1S": "unet_batch"}
NOTES = """
The U-Net, data, budget, rates and margins of unet_batch, with 40 seeds in place of ten.

First round (unet_batch, seeds 5 to 14), Dice, batch 16 less batch 2: BN -0.002 [-0.035, 0.032],
GN-4 -0.058 [-0.096, -0.019], which must stay within .02; contradicted but for .001. The
differences vary by .022 and .036 over seeds, .032 and .025 over cases and .075 for one training at
one case (SDs, two-way analysis of variance). The 15 test cases alone leave BN an interval of .018
to either side, so no number of seeds shows that it does not fall; what can be decided is whether
GN-4's change is more than .02. If means and variances are drawn about the first round's by their
errors, 40 seeds decide the statement in 82% of studies, all as contradicted by GN-4, which loses
Dice at the larger batch; with means and variances as they are in 99%. Planned cost: 160 trainings,
65 minutes of one core. A second look on new trainings doubles the chance of a wrong verdict in one
of the two, to 10% at most.
"""


@part
def by_batch(scale: str) -> Trainings:
    """BN and GN at batch 2 and 16."""
    size, channels, factor = {"toy": (32, 8, 1), "small": (96, 16, 4), "paper": (256, 64, 20)}[
        scale
    ]
    return Trainings(
        arms=[
            arm(norm, batch_size=batch, learning_rate=0.4 * batch / 16)
            for norm in ("BN", "GN-4")
            for batch in (2, 16)
        ],
        seeds=range(20, 60),
        task={"data": "sunnybrook", "size": [size, size], "intensity": "percentile",
              "validation": "test", "test_folds": [3]},
        network={"name": "unet2d", "first_channels": channels, "depth": 4},
        training={"samples": 6000 * factor, "evaluations": 1, "recompute_statistics": False},
    )  # fmt: skip


@finding(
    "G1S",
    "In a deep U-Net BN's Dice falls as the batch shrinks, GN's does not.",
    paper="error of ResNet-50 at batch 32 and 2 a GPU: BN 23.6, 34.7; GN 24.1, 24.1",
    metric="Dice of test cases at batch 16 less that at batch 2: BN's above 0, GN-4's within .02",
    plan="with the first round's means and variances, each drawn by its error, 40 seeds decide the "
    "statement in 82% of studies",
    advice={
        "reproduced": "Below 16 samples a batch, do not use BN in a U-Net as deep as this.",
        "contradicted": "At equal samples a larger batch takes fewer steps, which may cost GN more "
        "than a small batch costs BN: tune the budget before you blame the norm.",
    },
)
def g1s(by_batch: Measured) -> list[Contrast]:
    found = []
    for norm, more in (("BN", {"margin": 0.02}), ("GN-4", {"claim": "within", "margin": 0.02})):
        table = by_batch.scores("batch_size", norm=norm)
        name = f"{norm}'s Dice at batch 16 above that at batch 2"
        found.append(difference(table, 16, 2, name=name, unit="Dice", **more))
    return found
