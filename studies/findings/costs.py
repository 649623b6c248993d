"""What norms cost in time and memory: S5, S6, I5, M1, M2."""

import numpy as np
import pandas as pd

from normsearch.findings import Contrast, Measured, Measurement, difference, finding, part
from normsearch.findings.cost import by_pair, kept_bytes, learnt_numbers, paired_seconds

SOURCE = (
    "Kolarik, Burget, Riha 2020 (seed 000), Table 1; Zhou et al., instance-layer normalization, "
    "2019 (seed 001); memory: not published"
)
NOTES = """
Seconds are of 20 rounds of 200 iterations in which the norms take turns, one thread of a CPU, on
an otherwise idle machine; the papers' are of a GPU. Memory is counted: the bytes that a training
step keeps for its backward pass. ILN at 16 channels is IN, so that five of the 22 layers
have no gate; the numbers that it learns are counted with ILN(regroup=none), which has all 22.

Abandoned: seconds of whole trainings on a machine that others used (2026-11), whose intervals were
too wide to tell 1.3 from 1.
"""
SPINE = {"name": "res_unet3d", "first_channels": 8, "depth": 2}
UNET = {"name": "unet2d", "first_channels": 16, "depth": 4}


@part
def spine_steps(scale: str) -> Measurement:
    """Training steps of the spine's network."""
    shape = (1, 1, 16, 32, 32) if scale == "toy" else (1, 1, 16, 128, 128)
    norms = ("none", "BN", "IN", "GN-4")
    return Measurement(lambda data: paired_seconds(SPINE, norms, shape, iterations=20), idle=True)


@part
def spine_predictions(scale: str) -> Measurement:
    """Predictions of the spine's network."""
    shape = (1, 1, 16, 32, 32) if scale == "toy" else (1, 1, 16, 128, 128)
    norms = ("none", "BN", "IN", "GN-4")
    return Measurement(
        lambda data: paired_seconds(SPINE, norms, shape, iterations=50, training=False), idle=True
    )


@part
def unet_steps(scale: str) -> Measurement:
    """Training steps of the U-Net of the ILN paper."""
    shape = (1, 1, 64, 64) if scale == "toy" else (1, 1, 256, 256)
    return Measurement(
        lambda data: paired_seconds(UNET, ("IN", "ILN(regroup=none)", "ILN"), shape), idle=True
    )


@part
def counts(scale: str) -> Measurement:
    """Numbers learnt and bytes kept."""

    def take(data: object) -> pd.DataFrame:
        norms = ("none", "BN", "IN", "LN", "GN-4", "SN", "ILN", "ILN(regroup=none)", "BIN", "BRN")
        shape = (4, 1, 64, 64)
        rows = [(norm, learnt_numbers(UNET, norm), kept_bytes(UNET, norm, shape)) for norm in norms]
        return pd.DataFrame(rows, columns=["norm", "learnt", "bytes"])

    return Measurement(take)


def cheaper(measured: Measured, of: str, over: str, limit: float, published: float) -> Contrast:
    """`of` takes less than `limit` times what `over` takes: how far below, as a ratio."""
    table = by_pair(measured.values).assign(limit=np.log(limit))
    table["over"] = table[over] + table["limit"]
    name = f"{limit} times {over} over {of}"
    return difference(table, "over", of, name=name, ratio=True, published=np.log(limit / published))


@finding(
    "S5",
    "IN takes less than 1.3 times as long as no norm.",
    paper="163 s against 131 s an epoch: 1.24",
    metric="1.3 times the seconds of a training step without a norm, over those with IN",
    plan="20 rounds; a ratio that varies by 5% between rounds is known to 2.4%",
    advice={"reproduced": "A norm costs time, but little beside the convolutions.",
            "contradicted": "On a CPU and small maps a norm costs more than the paper's GPU says."},
)  # fmt: skip
def s5(spine_steps: Measured) -> Contrast:
    return cheaper(spine_steps, "IN", "none", 1.3, 163 / 131)


@finding(
    "S6",
    "IN predicts as fast as no norm, BN and GN take longer than IN.",
    paper="seconds of a prediction: none 8, BN 11, GN 11 to 12, IN 8",
    metric="seconds of a prediction: IN over none within 10%, BN and GN-4 over IN above 1",
    plan="20 rounds; a ratio that varies by 5% between rounds is known to 2.4%",
    advice={"contradicted": "Do not choose a norm by the published seconds of prediction: BN's "
            "running statistics are the cheapest to apply."},
)  # fmt: skip
def s6(spine_predictions: Measured) -> list[Contrast]:
    table = by_pair(spine_predictions.values)
    return [
        difference(table, "IN", "none", name="IN over none", ratio=True, claim="within",
                   margin=float(np.log(1.1)), published=0.0),
        difference(table, "BN", "IN", name="BN over IN", ratio=True, published=np.log(11 / 8)),
        difference(table, "GN-4", "IN", name="GN-4 over IN", ratio=True, published=np.log(11 / 8)),
    ]  # fmt: skip


@finding(
    "I5",
    "ILN learns 22 numbers more than IN and takes less than 10% more time.",
    paper="36.5 s against 34.8 s for 200 iterations: 1.05; 22 numbers more",
    metric="1.1 times the seconds of a training step with IN, over those with ILN; numbers learnt",
    plan="20 rounds of 200 iterations; a ratio that varies by 3% between rounds is known to 1.4%",
    advice={"contradicted": "ILN costs more than IN, which has a kernel of its own in PyTorch."},
)
def i5(unet_steps: Measured, counts: Measured) -> list[Contrast]:
    learnt = counts.values.set_index("norm")["learnt"]
    more = float(learnt["ILN(regroup=none)"] - learnt["IN"])
    return [
        cheaper(unet_steps, "ILN", "IN", 1.1, 36.5 / 34.8),
        Contrast("numbers learnt more than IN, less 22", np.array([more - 22]), "within", 0.5,
                 "numbers", exact=True),
    ]  # fmt: skip


@finding(
    "M1",
    "Group Normalization keeps no more memory for its backward pass than Batch Normalization.",
    paper="not published; what decides whether a batch fits",
    metric="bytes kept by a training step: 1.01 times BN's less GN-4's, in units of BN's",
    plan="counted, the same at each run",
    advice={"reproduced": "GN costs no memory over BN."},
)
def m1(counts: Measured) -> Contrast:
    kept = counts.values.set_index("norm")["bytes"]
    name = "1.01 times BN's bytes above GN-4's"
    return Contrast(name, np.array([1.01 - kept["GN-4"] / kept["BN"]]), unit="of BN", exact=True)


@finding(
    "M2",
    "Switchable Normalization keeps less than 1.1 times the memory of Batch Normalization.",
    paper="not published; what decides whether a batch fits",
    metric="bytes kept by a training step: 1.1 times BN's less SN's, in units of BN's",
    plan="counted, the same at each run",
    advice={"reproduced": "SN costs hardly any memory over BN here: it keeps moments, no maps."},
)
def m2(counts: Measured) -> Contrast:
    kept = counts.values.set_index("norm")["bytes"]
    name = "1.1 times BN's bytes above SN's"
    return Contrast(name, np.array([1.1 - kept["SN"] / kept["BN"]]), unit="of BN", exact=True)
