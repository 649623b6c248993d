"""Does Switchable Norm's choice depend on depth and batch more than on the rest? P6, P6S."""

import pandas as pd

from normsearch.findings import Contrast, Measured, Trainings, arm, finding, mean_of, part

SOURCE = (
    "Luo et al., Do normalization layers in a deep ConvNet really need to be distinct?, arXiv "
    "1811.07727"
)
NOTES = """
How far BN's weight of a layer moves, as a mean absolute difference: between layers, between batch
sizes 2 and 8, between schedules, between solvers, between first weights. Each pair of seeds gives
one value of each. Toy scale: the networks and data of switchable and switchable_unet, half and a
quarter of their samples.

Abandoned: shares of explained variance with a bootstrap over layers (2026-11): layers are no
sample of anything.
"""
BATCHES, SEEDS = (2, 8), range(5, 13)


def arms(rate: float) -> list[dict]:
    """Two batch sizes, solvers and schedules; `rate` is SGD's at batch 16."""
    return [
        arm("SN", f"{solver}, {schedule}, batch {size}", batch_size=size, optimizer=solver,
            schedule=schedule, learning_rate=(rate if solver == "sgd" else 0.008) * size / 16)
        for size in BATCHES
        for solver in ("sgd", "adam")
        for schedule in ("cosine", "constant")
    ]  # fmt: skip


@part
def settings(scale: str) -> Trainings:
    """The residual classifier of switchable."""
    samples = {"toy": 4320, "small": 36_000, "paper": 1_800_000}[scale]
    widths = [64, 128, 256, 512] if scale == "paper" else [16, 32, 64, 64]
    data = "fashion_mnist" if scale == "paper" else "fashion_mnist_900"
    return Trainings(
        arms=arms(0.05),
        seeds=SEEDS,
        task={"data": data, "validation": "test", "test_folds": ["test"],
              "augmentation": {"flip": ["x"]}},
        network={"name": "resnet", "arguments": {"widths": widths}},
        training={"samples": samples, "evaluations": 1, "statistics_samples": 64,
                  "gate_learning_rate_factor": 1 if scale == "paper" else 10},
    )  # fmt: skip


@part
def unet_settings(scale: str) -> Trainings:
    """The U-Net of switchable_unet."""
    size, samples = {"toy": (32, 4000), "small": (96, 32_000), "paper": (256, 500_000)}[scale]
    return Trainings(
        arms=arms(0.4),
        seeds=SEEDS,
        task={"data": "sunnybrook", "size": [size, size], "intensity": "percentile",
              "validation": "test", "test_folds": [3]},
        network={"name": "unet2d", "first_channels": 64 if scale == "paper" else 8, "depth": 4},
        training={"samples": samples, "evaluations": 1, "statistics_samples": 64,
                  "gate_learning_rate_factor": 1 if scale == "paper" else 10},
    )  # fmt: skip


def judge(measured: Measured) -> list[Contrast]:
    """Depth and batch, each less schedule, solver and first weights."""
    learnt = measured.learnt[measured.learnt["branch"] == "BN"]
    factors = ["seed", "batch_size", "optimizer", "schedule"]
    table = learnt.pivot_table(index=factors, columns=["slot", "statistic"], values="weight")
    seeds = sorted(learnt["seed"].unique())
    rows = [moves(table, pair) for pair in zip(seeds[0::2], seeds[1::2], strict=True)]
    moved = pd.DataFrame(rows)
    return [
        mean_of(moved[more] - moved[less], f"{more} moves BN's weight more than {less}")
        for more in ("depth", "batch size")
        for less in ("schedule", "solver", "first weights")
    ]


def moves(table: pd.DataFrame, pair: tuple[int, int]) -> dict[str, float]:
    """How far weights move in the trainings of a pair of seeds, by what changes."""
    own = table.loc[list(pair)]

    def between(level: str) -> float:
        first, second = (part.droplevel(level) for _, part in own.groupby(level=level))
        return float((first - second).abs().to_numpy().mean())

    layers = own.T.groupby(level="statistic")
    depth = [
        float((part.T.sub(other, axis=0)).abs().to_numpy().sum() / (len(part) - 1) / own.shape[0])
        for _, part in layers
        for other in (row for _, row in part.iterrows())
    ]
    return {
        "depth": sum(depth) / len(depth), "batch size": between("batch_size"),
        "schedule": between("schedule"), "solver": between("optimizer"),
        "first weights": between("seed"),
    }  # fmt: skip


PLAN = "no pilot; four pairs of seeds find a difference of 3.6 times its SD over pairs in 80%"
ADVICE = {"reproduced": "A preference that is measured once carries over to other seeds and "
          "schedules; measure it again when the batch size changes."}  # fmt: skip


@finding(
    "P6",
    "What is chosen depends on depth and batch size more than on seed, schedule or solver.",
    paper="in words",
    metric="mean absolute difference of BN's weights between layers and between batch sizes, less "
    "that between schedules, solvers and seeds",
    plan=PLAN,
    advice=ADVICE,
)
def p6(settings: Measured) -> list[Contrast]:
    return judge(settings)


@finding(
    "P6S",
    "In a U-Net, what is chosen depends on depth and batch size more than on the rest.",
    paper="in words, of ResNet-50",
    metric="as P6",
    plan=PLAN,
    advice=ADVICE,
)
def p6s(unet_settings: Measured) -> list[Contrast]:
    return judge(unet_settings)
