"""Does GN fit the training images better than BN at a large batch? G2."""

import numpy as np

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
REPLACES = {"G2": "batch_size"}
NOTES = """
The residual classifier, the half of Fashion-MNIST and the budget of batch_size at batch size 32,
both norms at the learning rate that was the best of four for both there, 0.05, the lowest of them.
The paper speaks of the training error; what is recorded is the training loss, the mean of the last
third of training. Both norms fit these 450 images nearly perfectly: the statement is about which of
them comes closer to 0, as a ratio of losses.

First round (batch_size, seeds 5 to 10): BN's loss .00120, GN-4's .00689; BN less GN-4 -0.0057
[-0.0121, 0.0008], not distinguishable, although BN's was the lower one in each of the six pairs.
GN's losses are skewed (.002 to .018), which makes the interval of a difference wide. Their ratio is
judged now, on new seeds; the first six are not used again. In those its logarithm was -1.45 with an
SD of 0.82, which eight seeds find in 99% of studies, and half of it in 57%. A second look on new
trainings doubles the chance of a wrong verdict in one of the two, to 10% at most.
"""


@part
def fitted(scale: str) -> Trainings:
    """BN and GN at batch 32."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    arguments: dict[str, object] = {"widths": [16, 32, 64, 64, 64]}
    if scale == "paper":
        arguments = {"widths": [64, 128, 256, 512, 512], "blocks": 2}
    return Trainings(
        arms=[arm(norm, norm, batch_size=32, learning_rate=0.05) for norm in ("BN", "GN-4")],
        seeds=range(20, 28),
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": arguments},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": False,
                  "statistics_samples": 256},
    )  # fmt: skip


@finding(
    "G2",
    "GN's training error is below BN's at the largest batch.",
    paper="in words (ResNet-50, batch 32)",
    metric="training loss in the last third, BN's over GN-4's, each at its best rate; a loss less "
    "than 1.1 times the other's does not matter",
    plan=Power(1.45, 0.82, 8, "logarithms of the first round's ratios, seeds 5 to 10"),
    advice={"contradicted": "GN does not fit faster here; its gain, if any, is not optimization."},
)
def g2(fitted: Measured) -> Contrast:
    losses = np.log(fitted.means("norm", "loss"))
    return difference(losses, "BN", "GN-4", name="BN's training loss over GN-4's", ratio=True,
                      margin=float(np.log(1.1)))  # fmt: skip
