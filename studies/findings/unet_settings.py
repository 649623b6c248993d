"""Does Switchable Norm's choice in a U-Net depend on depth and batch more than on the rest? P6S."""

import pandas as pd

from normsearch.findings import Contrast, Measured, Trainings, arm, finding, mean_of, part

SOURCE = (
    "Luo et al., Do normalization layers in a deep ConvNet really need to be distinct?, arXiv "
    "1811.07727, asked of segmentation"
)
REPLACES = {"P6S": "switchable_settings"}
NOTES = """
The U-Net, data, budget, settings and judge of switchable_settings, with 14 pairs of seeds in place
of four. Each pair gives one value of how far BN's weight moves, as a mean absolute difference:
between layers, batch sizes 2 and 8, schedules, solvers, and first weights (the seeds of the pair).

First round (switchable_settings, seeds 5 to 12): depth less schedule 0.084 [0.059, 0.108], solver
0.020 [-0.005, 0.044], first weights 0.050 [0.011, 0.089]; batch size less schedule 0.037 [0.011,
0.063], solver -0.027 [-0.068, 0.014], first weights 0.004 [-0.010, 0.017]. Not distinguishable,
although batch size moved the weights less than the solver in each of the four pairs. What is open
is that difference above all, with an SD of .013 over pairs. If means and variances are drawn about
the first round's by their errors, 14 pairs decide the statement in 86% of studies, nearly all as
contradicted; with variances as they are in 95%, with means, too, in more than 99%. Planned cost:
224 trainings, 80 to 120 minutes of one core. A second look on new trainings doubles the chance of a
wrong verdict in one of the two, to 10% at most.
"""


@part
def settings(scale: str) -> Trainings:
    """SN in every slot: two batch sizes, solvers and schedules."""
    size, channels, samples, gates = {
        "toy": (32, 8, 4000, 10), "small": (96, 8, 32_000, 10), "paper": (256, 64, 500_000, 1),
    }[scale]  # fmt: skip
    return Trainings(
        arms=[
            arm("SN", f"{solver}, {schedule}, batch {batch}", batch_size=batch, optimizer=solver,
                schedule=schedule, learning_rate=rate * batch / 16)
            for batch in (2, 8)
            for solver, rate in (("sgd", 0.4), ("adam", 0.008))
            for schedule in ("cosine", "constant")
        ],
        seeds=range(20, 48),
        task={"data": "sunnybrook", "size": [size, size], "intensity": "percentile",
              "validation": "test", "test_folds": [3]},
        network={"name": "unet2d", "first_channels": channels, "depth": 4},
        training={"samples": samples, "evaluations": 1, "statistics_samples": 64,
                  "gate_learning_rate_factor": gates},
    )  # fmt: skip


def moves(table: pd.DataFrame) -> dict[str, float]:
    """How far weights move in the trainings of a pair of seeds, by what changes.

    Rows are (seed, batch_size, optimizer, schedule), columns (slot, statistic).
    """

    def between(level: str) -> float:
        first, second = (half.droplevel(level) for _, half in table.groupby(level=level))
        return float((first - second).abs().to_numpy().mean())

    depth = []
    for _, layers in table.T.groupby(level="statistic"):
        for _, layer in layers.iterrows():
            away = layers.sub(layer, axis=1).abs().to_numpy().sum()
            depth.append(float(away) / (len(layers) - 1) / len(table))
    return {
        "depth": sum(depth) / len(depth), "batch size": between("batch_size"),
        "schedule": between("schedule"), "solver": between("optimizer"),
        "first weights": between("seed"),
    }  # fmt: skip


@finding(
    "P6S",
    "In a U-Net, what is chosen depends on depth and batch size more than on the rest.",
    paper="in words, of ResNet-50",
    metric="mean absolute difference of BN's weights between layers and between batch sizes, less "
    "that between schedules, solvers and seeds",
    plan="with the first round's means and variances, each drawn by its error, 14 pairs of seeds "
    "decide the statement in 86% of studies",
    advice={
        "reproduced": "A preference that is measured once carries over to other seeds and "
        "schedules; measure it again when the batch size changes.",
        "contradicted": "In a U-Net the solver moves a preference more than the batch size does: "
        "measure it with the solver you will train with.",
    },
)
def p6s(settings: Measured) -> list[Contrast]:
    learnt = settings.learnt[settings.learnt["branch"] == "BN"]
    factors = ["seed", "batch_size", "optimizer", "schedule"]
    table = learnt.pivot_table(index=factors, columns=["slot", "statistic"], values="weight")
    seeds = sorted(learnt["seed"].unique())
    moved = pd.DataFrame(
        [moves(table.loc[list(pair)]) for pair in zip(seeds[0::2], seeds[1::2], strict=True)]
    )
    return [
        mean_of(moved[more] - moved[less], f"{more} moves BN's weight more than {less}")
        for more in ("depth", "batch size")
        for less in ("schedule", "solver", "first weights")
    ]
