"""BN, GN and SN at the smallest and the largest batch, with seeds enough: G1, N1."""

import pandas as pd

from normsearch.analysis import switchable as pictures
from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part

SOURCE = (
    "Wu & He, Group normalization, 2018, arXiv 1803.08494 (G1); Luo et al., arXiv 1806.10779, "
    "figure 1b (N1)"
)
REPLACES = {"G1": "batch_size", "N1": "batch_size"}
NOTES = """
The residual classifier, the halves of Fashion-MNIST, the budget, the rates and the margins of
batch_size, without batch size 8, which was drawn and not judged. N1 has 24 seeds; G1 adds 36 of BN
and GN-4 alone.

First round (batch_size, seeds 5 to 10), accuracy. G1, batch 32 less batch 2: BN -0.013 [-0.033,
0.007], GN-4 -0.024 [-0.048, -0.001], which must stay within .03. N1: SN above BN -0.017 [-0.038,
0.004] at batch 2 and 0.003 [-0.018, 0.024] at batch 32, above GN-4 0.009 [-0.015, 0.033] and 0.040
[0.008, 0.073]. Both not distinguishable. These differences vary by .006 at most over seeds, .056 to
.122 over images and .31 to .38 for one training at one image (SDs, two-way analysis of variance):
more seeds help as much as more images. If means and variances are drawn about the first round's by
their errors, N1 is decided in 96% of studies, two thirds of them contradicted, the rest equivalent.
G1 is decided in 80%, mostly as contradicted by BN; with means as in the first round in 98%, and
with 24 seeds it would be in 62%: what stays open then is a mean close to 0 or to the margin.
Planned cost: 288 trainings, 220 minutes of one core, of which 107 are G1's further seeds. A second
look on new trainings doubles the chance of a wrong verdict in one of the two, to 10% at most.
"""
MARGIN = 0.03


def trainings(scale: str, norms: tuple[str, ...], seeds: range) -> Trainings:
    """What both parts share: batch sizes 2 and 32, the rate in proportion."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    arguments: dict[str, object] = {"widths": [16, 32, 64, 64, 64]}
    if scale == "paper":
        arguments = {"widths": [64, 128, 256, 512, 512], "blocks": 2}
    return Trainings(
        arms=[
            arm(norm, batch_size=size, learning_rate=0.1 * size / 32)
            for norm in norms
            for size in (2, 32)
        ],
        seeds=seeds,
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": arguments},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": False,
                  "statistics_samples": 256},
    )  # fmt: skip


@part
def ends(scale: str) -> Trainings:
    """BN, GN and SN at batch 2 and 32."""
    return trainings(scale, ("BN", "GN-4", "SN"), range(20, 44))


@part
def further(scale: str) -> Trainings:
    """BN and GN with more seeds."""
    return trainings(scale, ("BN", "GN-4"), range(44, 80))


@finding(
    "G1",
    "BN's error rises as the batch shrinks, GN's does not.",
    paper="error at batch 32, 16, 8, 4, 2: BN 23.6, 23.7, 24.8, 27.3, 34.7; GN 24.0 to 24.2",
    metric="accuracy at batch 32 less that at batch 2: BN's above 0, GN-4's within .03",
    plan="with the first round's means and variances, each drawn by its error, 60 seeds decide the "
    "statement in 80% of studies",
    advice={"reproduced": "At batch 2, do not use BN with its running statistics.",
            "contradicted": "With equal epochs a small batch takes more steps, which may help more "
            "than poor statistics harm: tune the budget before you blame the norm."},
)  # fmt: skip
def g1(ends: Measured, further: Measured) -> list[Contrast]:
    found = []
    for norm, more in (("BN", {"published": 0.111}), ("GN-4", {"claim": "within"})):
        scores = pd.concat([table.scores("batch_size", norm=norm) for table in (ends, further)])
        name = f"{norm}'s accuracy at batch 32 above that at batch 2"
        found.append(difference(scores, 32, 2, name=name, margin=MARGIN, unit="accuracy", **more))
    return found


@finding(
    "N1",
    "SN is more accurate than BN and than GN at large and at small batches.",
    paper="figure 1b: SN above BN and GN at every batch size, in words",
    metric="accuracy of SN less that of BN and of GN-4, batch 2 and 32",
    plan="with the first round's means and variances, each drawn by its error, 24 seeds decide the "
    "statement in 96% of studies",
    advice={
        "equivalent": "SN does not cost accuracy at any batch size: a safe choice where you cannot "
        "tune, at twice the time of a native norm.",
        "contradicted": "SN is no safe choice at every batch size: compare it with BN at yours.",
    },
    picture=pictures.scores_by_batch,
)
def n1(ends: Measured) -> list[Contrast]:
    found = []
    for size in (2, 32):
        table = ends.scores("norm", batch_size=size)
        for other in ("BN", "GN-4"):
            name = f"SN above {other}, batch {size}"
            found.append(difference(table, "SN", other, name=name, margin=MARGIN, unit="accuracy"))
    return found
