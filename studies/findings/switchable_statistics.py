"""Are BN's weights for mean and variance alike in a U-Net at small batches? P3S."""

from normsearch.analysis import switchable as pictures
from normsearch.findings import Contrast, Measured, Power, Trainings, arm, difference, finding, part

SOURCE = (
    "Luo et al., Differentiable learning-to-normalize via switchable normalization, arXiv "
    "1806.10779, asked of segmentation"
)
REPLACES = {"P3S": "switchable_unet"}
NOTES = """
The U-Net, data, budget and rates of switchable_unet at batch sizes 2 and 4.

First round (switchable_unet, seeds 5 to 10): mean weight less variance weight -0.024 [-0.071,
0.023] at batch 2 and -0.055 [-0.129, 0.018] at batch 4, not distinguishable. Their SDs over seeds
were .036 and .057, which 20 seeds find at batch 4 in 99% of studies, three quarters of it in 89%,
half of it in 53%. A second look on new trainings doubles the chance of a wrong verdict in one of
the two, to 10% at most.
"""
RATES = {2: 0.05, 4: 0.1}


@part
def statistics(scale: str) -> Trainings:
    """SN in every slot, two batch sizes."""
    size, channels, samples, gates = {
        "toy": (32, 8, 16_000, 10), "small": (96, 16, 64_000, 10), "paper": (256, 64, 500_000, 1),
    }[scale]  # fmt: skip
    return Trainings(
        arms=[arm("SN", batch_size=batch, learning_rate=rate) for batch, rate in RATES.items()],
        seeds=range(20, 40),
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


@finding(
    "P3S",
    "The variance weight of Batch Normalization is below its mean weight at small batches, in a "
    "U-Net.",
    paper="in words, of ResNet-50",
    metric="mean weight less variance weight of BN, over layers",
    plan=Power(0.055, 0.057, 20, "the first round, batch 4", comparisons=2),
    advice={"contradicted": "In a U-Net the variance over the batch is of more use than its mean: "
            "large maps make it precise."},
    picture=pictures.by_slot,
)  # fmt: skip
def p3s(statistics: Measured) -> list[Contrast]:
    found = []
    for size in RATES:
        table = statistics.shares("statistic", branch="BN", batch_size=size)
        name = f"BN's mean weight above its variance weight, batch {size}"
        found.append(difference(table, "mean", "variance", name=name))
    return found
