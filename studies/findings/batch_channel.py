"""Do Batch Renormalization and Batch-Channel Normalization improve on BN and GN? G4, W2."""

from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part

SOURCE = (
    "Wu & He 2018 (G4: Batch Renormalization, Ioffe 2017, arXiv 1702.03275); Qiao et al. 2019, "
    "arXiv 1903.10520 (BCN)"
)
REPLACES = {"G4": "later_norms", "W2": "later_norms"}
NOTES = """
The residual classifier, the halves of Fashion-MNIST, the budget, the rate and the margins of
later_norms at batch size 4: four of its six norms, with 36 seeds in place of six.

First round (later_norms, seeds 5 to 10), accuracy. W2: BCN-4 above BN -0.007 [-0.027, 0.012],
above GN-4 0.012 [-0.019, 0.043]. G4: GN-4 above BRN -0.006 [-0.039, 0.027], BRN above BN -0.013
[-0.032, 0.005]. Both not distinguishable. Against GN-4 the differences vary by .018 and .019 over
seeds, against BN by .001; all by .03 to .08 over images and by .30 to .35 for one training at one
image (SDs, two-way analysis of variance). If means and variances are drawn about the first round's
by their errors, 36 seeds decide W2 in 96% of studies, two thirds of them as equivalent within .03,
most others as contradicted, and G4 in 86%, all as contradicted, by BRN below BN; with means and
variances as they are in 99% both. Planned cost: 144 trainings, 110 minutes of one core. A second
look on new trainings doubles the chance of a wrong verdict in one of the two, to 10% at most.
"""
MARGIN = 0.03


@part
def later(scale: str) -> Trainings:
    """Four norms at batch 4."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    widths = [16, 32, 64, 64, 64] if scale != "paper" else [64, 128, 256, 512, 512]
    return Trainings(
        arms=[
            arm(norm, norm, batch_size=4, learning_rate=0.0125)
            for norm in ("BN", "GN-4", "BRN", "BCN-4")
        ],
        seeds=range(20, 56),
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": {"widths": widths}},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": False,
                  "statistics_samples": 256},
    )  # fmt: skip


def above(later: Measured, *pairs: tuple[str, str, float | None]) -> list[Contrast]:
    """The first of each pair above the second, in accuracy; half a published effect matters."""
    table = later.scores("norm")
    return [
        difference(table, of, over, unit="accuracy", published=published,
                   margin=published / 2 if published else MARGIN)
        for of, over, published in pairs
    ]  # fmt: skip


@finding(
    "G4",
    "Batch Renormalization lies between BN and GN at batch 4.",
    paper="error: BN 27.3, BRN 26.3, GN 24.2",
    metric="accuracy of GN-4 less BRN, and of BRN less BN",
    plan="with the first round's means and variances, each drawn by its error, 36 seeds decide the "
    "statement in 86% of studies",
    advice={"contradicted": "Where BN has enough values, neither BRN nor GN improves on it."},
)
def g4(later: Measured) -> list[Contrast]:
    return above(later, ("GN-4", "BRN", 0.021), ("BRN", "BN", 0.010))


@finding(
    "W2",
    "Batch-Channel Normalization is better than BN and than GN.",
    paper="in words (ResNet, small batches)",
    metric="accuracy of BCN-4 less that of BN and of GN-4; within .03 it does not matter",
    plan="with the first round's means and variances, each drawn by its error, 36 seeds decide the "
    "statement in 96% of studies",
    advice={
        "reproduced": "BCN is worth its second pass at small batches.",
        "equivalent": "BCN is not worth its second pass here: BN and GN do as well.",
        "contradicted": "BCN is not better than both BN and GN at small batches.",
    },
)
def w2(later: Measured) -> list[Contrast]:
    return above(later, ("BCN-4", "BN", None), ("BCN-4", "GN-4", None))
