"""Does Weight Normalization want the mean of the batch beside it? W3, with more seeds."""

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

SOURCE = "Salimans & Kingma 2016, arXiv 1602.07868 (WN + mean-only BN)"
REPLACES = {"W3": "weight_norm"}
NOTES = """
The residual classifier and the halves of Fashion-MNIST of batch_size at batch size 4, both norms at
the learning rate that weight_norm chose for both of four, 0.0008.

First round (weight_norm, seeds 5 to 10): WN + mean-only BN less WN -0.017 [-0.035, 0.001], not
distinguishable, although it was the lower one in each of the six pairs. The difference varies by 0
over seeds, .006 over images and .36 for one training at one image (SDs, two-way analysis of
variance): more seeds help as much as more images. With 28 a difference of -.017 is found in 99% of
studies, of -.013 in 87%, of -.0085 in 44%. The margin of half the published effect stays, too small
for "equivalent" with 450 images. A second look on new trainings doubles the chance of a wrong
verdict in one of the two, to 10% at most.
"""


@part
def chosen(scale: str) -> Trainings:
    """Both at their best rate."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    widths = [16, 32, 64, 64, 64] if scale != "paper" else [64, 128, 256, 512, 512]
    return Trainings(
        arms=[arm(norm, norm, batch_size=4, learning_rate=0.0008) for norm in ("WN+MBN", "WN")],
        seeds=range(20, 48),
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": {"widths": widths}},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": False,
                  "statistics_samples": 256},
    )  # fmt: skip


@finding(
    "W3",
    "Weight Normalization with mean-only BN is better than Weight Normalization alone.",
    paper="CIFAR-10 error: WN 8.46, WN + mean-only BN 7.31 (from memory)",
    metric="accuracy of WN+MBN less that of WN, each at its best rate",
    plan=Power(
        0.0115, 0.024, 28, "the first round's variances by seed and image as one over seeds"
    ),
    advice={
        "reproduced": "Weight Normalization wants the batch's mean beside it.",
        "contradicted": "In a small residual network Weight Normalization does better without the "
        "batch's mean.",
    },
)
def w3(chosen: Measured) -> Contrast:
    table = chosen.scores("norm")
    return difference(table, "WN+MBN", "WN", margin=0.0057, published=0.0115, unit="accuracy")
