"""Is one channel a group (IN) the worst number of channels a group? G5, with more seeds."""

from normsearch.findings import Contrast, Measured, Trainings, arm, difference, finding, part

SOURCE = "Wu & He, Group normalization, 2018, arXiv 1803.08494"
REPLACES = {"G5": "batch_size"}
NOTES = """
The residual classifier, the halves of Fashion-MNIST, the budget, the rate and the margins (half of
each published effect) of batch_size at batch size 8, without the arms of G3. None of the five arms
of G5 is left out: each number of channels is one of its four comparisons.

First round (batch_size, seeds 5 to 10), accuracy above IN: 2 channels a group -0.006 [-0.031,
0.019], 4 -0.009 [-0.041, 0.023], 8 -0.019 [-0.053, 0.015], 16 -0.023 [-0.050, 0.005]; not
distinguishable. The published differences, .028 to .042 the other way, lie outside all of these
intervals; what is open is whether IN is better than the largest groups. That of 16
channels varies by .008 over seeds, .131 over images and .34 for one training at one image (SDs,
two-way analysis of variance). If means and variances are drawn about the first round's by their
errors, 36 seeds decide the statement in 85% of studies, all as contradicted; with means and
variances as they are in 94%. Planned cost: 180 trainings, 75 minutes of one core. A second look on
new trainings doubles the chance of a wrong verdict in one of the two, to 10% at most.
"""
PAPER = {2: 0.028, 4: 0.036, 8: 0.041, 16: 0.042}  # accuracy above IN, by channels a group


def grouped(widths: list[int], channels: int) -> dict[str, str]:
    """So many channels a group in the stem, which is as wide as the first stage, and each stage."""
    norm = {f"stage{place}*": width for place, width in enumerate(widths, 1)}
    return {glob: f"GN-{width // channels}" for glob, width in {"stem*": widths[0], **norm}.items()}


@part
def groups(scale: str) -> Trainings:
    """IN, and 2 to 16 channels a group, at batch 8."""
    samples = {"toy": 16_200, "small": 100_000, "paper": 3_000_000}[scale]
    widths, blocks = [16, 32, 64, 64, 64], 1
    if scale == "paper":
        widths, blocks = [64, 128, 256, 512, 512], 2
    arms = [arm("IN", "1 channel a group", batch_size=8, learning_rate=0.025)]
    arms += [
        arm(grouped(widths, count), f"{count} channels a group", batch_size=8, learning_rate=0.025)
        for count in PAPER
    ]
    return Trainings(
        arms=arms,
        seeds=range(20, 56),
        task={
            "data": "fashion_mnist" if scale == "paper" else "fashion_mnist_900",
            "validation_fraction": 0.5,
        },
        network={"name": "resnet", "arguments": {"widths": widths, "blocks": blocks}},
        training={"samples": samples, "evaluations": 3, "recompute_statistics": False,
                  "statistics_samples": 256},
    )  # fmt: skip


@finding(
    "G5",
    "One channel a group (IN) is the worst number of channels a group.",
    paper="error with 64 to 2 channels a group: 24.2 to 25.6; 1: 28.4",
    metric="accuracy of 2, 4, 8 and 16 channels a group less that of IN, batch 8",
    plan="with the first round's means and variances, each drawn by its error, 36 seeds decide the "
    "statement in 85% of studies",
    advice={"contradicted": "On small images of little variety IN does not lose; that it does on "
            "ImageNet says nothing of your images."},
)  # fmt: skip
def g5(groups: Measured) -> list[Contrast]:
    table = groups.scores("arm")
    return [
        difference(table, f"{count} channels a group", "1 channel a group", margin=published / 2,
                   unit="accuracy", name=f"{count} channels a group above IN", published=published)
        for count, published in PAPER.items()
    ]  # fmt: skip
