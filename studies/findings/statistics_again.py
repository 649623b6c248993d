"""Does BN's error rise as the batch shrinks if its statistics are taken again at the end? G1R."""

from normsearch.findings import (
    Contrast,
    Measured,
    Power,
    Trainings,
    arm,
    difference,
    finding,
    part,
)

SOURCE = "Wu & He, Group normalization, 2018, arXiv 1803.08494"
REPLACES = {"G1R": "batch_size"}
NOTES = """
The residual classifier, the halves of Fashion-MNIST, the budget and the rates of batch_size, with
twice its seeds; the margin is the first round's.

First round (batch_size, seeds 5 to 10): batch 32 less batch 2 -0.014 [-0.031, 0.002], not
distinguishable: the interval was wider than the margin of .03 by .0006. Its values vary by 0 over
seeds, .057 over images and .33 for one training at one image (SDs, two-way analysis of variance).
Twelve seeds are then decided, one way or another, in 97% of studies or more, whatever the mean is
between -0.025 and 0.01. A second look on new trainings doubles the chance of a wrong verdict in one
of the two, to 10% at most.
"""


@part
def retaken(scale: str) -> Trainings:
    """BN with its statistics taken again at the end."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    arguments: dict[str, object] = {"widths": [16, 32, 64, 64, 64]}
    if scale == "paper":
        arguments = {"widths": [64, 128, 256, 512, 512], "blocks": 2}
    return Trainings(
        arms=[arm("BN", batch_size=size, learning_rate=0.1 * size / 32) for size in (2, 32)],
        seeds=range(20, 32),
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": arguments},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": True,
                  "statistics_samples": 256},
    )  # fmt: skip


@finding(
    "G1R",
    "BN's error rises as the batch shrinks even where its statistics are taken again at the end.",
    paper="not asked; the usual cure for running statistics",
    metric="accuracy of BN at batch 32 less that at batch 2; within .03 it does not matter",
    plan=Power(0.03, 0.024, 12, "the first round's variances by seed and image as one over seeds"),
    advice={
        "equivalent": "Take BN's statistics again after training (normsearch does unless told "
        "otherwise), and most of its harm at small batches is gone.",
        "contradicted": "With equal epochs a small batch takes more steps, which helps more than "
        "its poor statistics harm once they are taken again.",
    },
)
def g1r(retaken: Measured) -> Contrast:
    name = "BN's accuracy at batch 32 above that at batch 2, statistics taken again"
    return difference(retaken.scores("batch_size"), 32, 2, name=name, margin=0.03, unit="accuracy")
