"""Instance-layer normalization on the left ventricle, LV-1 to LV-3: I1 to I4."""

import numpy as np
import pandas as pd

from normsearch.findings import (
    Contrast,
    Measured,
    Power,
    Trainings,
    agreement,
    arm,
    difference,
    finding,
    part,
)

SOURCE = (
    "Zhou et al., U-Net training with instance-layer normalization, 2019 (seed 001), LV-1 to LV-3: "
    "the Sunnybrook set, folds of 15 subjects"
)
NOTES = """
The paper's protocol: a U-Net, cross-entropy, SGD with momentum 0.9, two epochs, the learning rate
divided by 5 at the second, five initial rates. The paper shows the best of five, it seems on the
images it reports; here the rate is chosen for each norm and fold on validation subjects of the
training folds, with seeds 0 and 1, and stands in the table of trainings. Toy: 32 x 32 pixels, depth
3, batch size 4, no rotations. ILN regroups to 16 groups, and at 16 channels is IN: those layers
have no gate. The paper counts 22 gates: that is ILN(regroup=none), or a network whose first level
has more than 16 channels.

I3 compares with none, LN and GN-4 after three times the samples: in two epochs LN does not learn.

Abandoned: cross-entropy + Dice, three seeds a fold (2026-11): the standard error of a difference
was .012 to .019 for effects of .007 to .017. Gates at the network's rate, which ended within .05 of
their start.
"""
ILN, SIGMOID = "ILN", "ILN(regroup=none)"
CLIP, SOFTMAX = "ILN(gate=clip,regroup=none)", "ILN(gate=softmax,regroup=none)"
RATES = (1.5, 1.0, 0.5, 0.1, 0.05)
FOLDS = ("1", "2", "3")


def trainings(
    scale: str, arms: list, seeds: range, times: int = 1, folds: tuple = FOLDS, **more: object
) -> Trainings:
    """What all parts share; `times` the samples of two epochs."""
    size, channels, depth, samples = {
        "toy": (32, 16, 3, 1060), "small": (96, 16, 4, 10_600), "paper": (256, 16, 4, 65_000),
    }[scale]  # fmt: skip
    task = {"data": "sunnybrook", "size": [size, size], "intensity": "percentile"}
    if scale != "toy":  # the paper rotates each image by all of 61 angles
        task["augmentation"] = {"rotation": [-60, 60, 2]}
    return Trainings(
        arms=arms,
        seeds=seeds,
        folds=folds,
        task={**task, "validation": "test", **more},
        network={"name": "unet2d", "first_channels": channels, "depth": depth},
        training={
            "samples": samples * times, "evaluations": 1, "loss": "cross_entropy",
            "optimizer": "sgd", "momentum": 0.9, "schedule": "step", "step_points": [0.5],
            "step_factor": 0.2,
        },
    )  # fmt: skip


def batch(scale: str) -> int:
    """The batch size; the paper's is not stated, its author's code has 1."""
    return 4 if scale == "toy" else 1


@part
def rates(scale: str) -> Trainings:
    """Five rates for each norm, on validation subjects."""
    norms = (SIGMOID, CLIP, SOFTMAX, ILN, "IN")
    arms = [
        arm(norm, f"{norm}, rate {rate}", batch_size=batch(scale), learning_rate=rate)
        for norm in norms
        for rate in RATES
    ]
    return trainings(scale, arms, range(2), validation="held_out", validation_fraction=0.3)


@part
def long_rates(scale: str) -> Trainings:
    """The same for three times the samples."""
    arms = [
        arm(norm, f"{norm}, rate {rate}", batch_size=batch(scale), learning_rate=rate)
        for norm in (ILN, "none", "LN", "GN-4")
        for rate in RATES
    ]
    return trainings(scale, arms, range(2), 3, validation="held_out", validation_fraction=0.3)


def by_fold(
    scale: str,
    rates: Measured,
    norms: tuple,
    seeds: range,
    times: int = 1,
    folds: tuple = FOLDS,
    **more: object,
) -> list[Trainings]:
    """Each norm at the rate that was best for it in a fold's own validation subjects."""
    return [
        trainings(
            scale,
            [arm(norm, norm, **rates.best_setting(norm, fold=fold), **more) for norm in norms],
            seeds, times, (fold,),
        )
        for fold in folds
    ]  # fmt: skip


@part
def gates(scale: str, rates: Measured) -> list[Trainings]:
    """Sigmoid, clip, softmax, and sigmoid with GN-16 after it, each at its best rate."""
    return by_fold(scale, rates, (SIGMOID, CLIP, SOFTMAX, ILN), range(5, 45))


@part
def instance(scale: str, rates: Measured) -> list[Trainings]:
    """IN, on LV-1 and LV-2."""
    return by_fold(scale, rates, ("IN",), range(5, 45), folds=("1", "2"))


@part
def others(scale: str, long_rates: Measured) -> list[Trainings]:
    """ILN, none, LN and GN-4 after three times the samples, on LV-1 and LV-2."""
    return by_fold(scale, long_rates, (ILN, "none", "LN", "GN-4"), range(5, 17), 3, ("1", "2"))


@part
def raised(scale: str, rates: Measured) -> list[Trainings]:
    """ILN with gates at ten times the network's rate."""
    return by_fold(scale, rates, (ILN,), range(5, 17), gate_learning_rate_factor=10)


PILOT = "the standard errors of nine trainings an arm, scaled"


@finding(
    "I1",
    "A sigmoid gate is better than clip and softmax (LV-1 to LV-3).",
    paper="LV-1, 2, 3: sigmoid .903, .888, .828; clip .900, .864, .804; softmax .895, .866, .827",
    metric="Dice of test subjects, all three folds",
    plan=Power(0.015, 0.03, 40, PILOT, comparisons=2),
    advice={"equivalent": "The form of the gate does not matter; take the default."},
)
def i1(gates: Measured) -> list[Contrast]:
    table = gates.scores("norm")
    return [
        difference(table, SIGMOID, other, name=f"sigmoid above {name}", margin=published / 2,
                   published=published, unit="Dice")
        for name, other, published in (("clip", CLIP, 0.017), ("softmax", SOFTMAX, 0.010))
    ]  # fmt: skip


@finding(
    "I2",
    "Adding GN-16 after the mixture helps (LV-1 to LV-3).",
    paper="LV-1, 2, 3: with .919, .893, .827; without .903, .888, .828",
    metric="Dice of test subjects, all three folds",
    plan=Power(0.015, 0.03, 40, PILOT),
    advice={"equivalent": "GN after the mixture changes nothing; it costs a pass."},
)
def i2(gates: Measured) -> Contrast:
    table = gates.scores("norm")
    return difference(table, ILN, SIGMOID, name="with GN-16 above without", margin=0.0035,
                      published=0.007, unit="Dice")  # fmt: skip


@finding(
    "I3",
    "ILN beats none, IN, LN and GN-4 on LV-1 and LV-2.",
    paper="LV-1, 2: ILN .919, .893; none .899, .872; IN .905, .876; LN .898, .858; GN4 .908, .841",
    metric="Dice of test subjects, folds 1 and 2; none, LN and GN-4 after three times the samples",
    plan=Power(0.03, 0.03, 12, PILOT, comparisons=4),
    advice={"contradicted": "ILN is not the best norm for a U-Net at batch size 4.",
            "reproduced": "At batch size 4 and few epochs ILN is worth a trial."},
)  # fmt: skip
def i3(gates: Measured, instance: Measured, others: Measured) -> list[Contrast]:
    short = pd.concat([gates.cases, instance.cases], ignore_index=True)
    table = Measured(cases=short).scores("norm", fold=["1", "2"], norm=[ILN, "IN"])
    found = [difference(table, ILN, "IN", margin=0.008, published=0.016, unit="Dice")]
    long = others.scores("norm")
    for other, published in (("none", 0.021), ("LN", 0.028), ("GN-4", 0.032)):
        found.append(
            difference(long, ILN, other, margin=published / 2, published=published, unit="Dice")
        )
    return found


@finding(
    "I4",
    "The gate rho ends at different values in different layers.",
    paper="a figure: eight layers of LV-1 end at different values",
    metric="rank correlation of the layers' rho at the end of training between two independent "
    "seeds, mean of three folds; 0 if layers do not differ",
    plan=Power(0.6, 0.35, 6, "assumed; pairs of seeds"),
    advice={"reproduced": "Layers want different shares of IN and LN: a mixture per layer is no "
            "whim of one training."},
)  # fmt: skip
def i4(raised: Measured) -> Contrast:
    own = raised.learnt[raised.learnt["branch"] == "IN"]
    rho = own.assign(weight=np.log(own["weight"] / (1 - own["weight"])))
    profiles = Measured(learnt=rho).shares("depth")
    return agreement(profiles, name="layers' rho agrees between seeds", unit="rank correlation")
