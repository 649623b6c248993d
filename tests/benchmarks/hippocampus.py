"""Hippocampus: what `init` proposes, beside a plain MONAI loop of equal network and samples.

Run as ``python -m tests.benchmarks.hippocampus [SEED...]``; the data set is found as in the tests.
All train the network of studies/hippocampus.yaml with IN on the same subjects and patches of the
same size, and are scored on the same validation subjects. The third is normsearch with the loop's
recipe: random patches, AdamW at .001, no augmentation, no averaged weights. What it differs from
the loop is the engine; what it differs from the first is the recipe. Seconds are of the training
and its validation, after the data were prepared: one of all cases in the loop, in normsearch four
more of 8 cases. Each seed trains one after the other.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset
from monai.inferers.utils import sliding_window_inference
from monai.losses.dice import DiceCELoss
from monai.networks.nets.unet import UNet
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import RandSpatialCropd, SpatialPadd
from monai.transforms.intensity.dictionary import NormalizeIntensityd
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.spatial.dictionary import Spacingd
from monai.transforms.utility.dictionary import EnsureChannelFirstd
from monai.utils.misc import set_determinism

import normsearch
from normsearch.config import StudyConfig
from tests.conftest import find_data

TITLE = "Hippocampus, mean validation Dice and CPU seconds of a training with its validation"
DATA_SET = "Task04_Hippocampus"
BOTH = ["image", "label"]


PLAIN_RATE = 0.001  # torch's default
AS_PLAIN = ["task.augmentation=none", "task.foreground_share=0", "training.ema=null"]


def study(
    seed: int, folder: Path, rate: float = 0.003, changes: Sequence[str] = ()
) -> normsearch.Study:
    """Return the shipped study with the arm IN alone, at its default learning rate."""
    arm = f"{{name: IN, norm: IN, learning_rate: {rate}, batch_size: 2}}"
    overrides = [f"space={{arms: [{arm}], seeds: [{seed}]}}", "search={}", *changes]
    return normsearch.Study.load("hippocampus", overrides, data=find_data(), runs_dir=folder)


def ours(seed: int, rate: float = 0.003, changes: Sequence[str] = ()) -> tuple[float, float]:
    """Train by normsearch; return Dice and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = study(seed, Path(folder), rate, changes)
        prepared.prepare()
        began = time.process_time()
        prepared.run(executor="local")
        return float(prepared.trials()["score"].iloc[0]), time.process_time() - began


def as_plain(seed: int) -> tuple[float, float]:
    """Train by normsearch with the recipe of the plain loop; return Dice and CPU seconds."""
    return ours(seed, PLAIN_RATE, AS_PLAIN)


def plain(seed: int) -> tuple[float, float]:
    """Train by a loop as MONAI's tutorials have it; return Dice and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = study(seed, Path(folder)).prepare()
    config, split = prepared.config, prepared.split
    set_determinism(seed)
    prepare = Compose([
        LoadImaged(BOTH), EnsureChannelFirstd(BOTH),
        Spacingd(BOTH, config.task.target_spacing[::-1], mode=("bilinear", "nearest")),
        NormalizeIntensityd("image"), SpatialPadd(BOTH, sides(config)),
    ])  # fmt: skip
    root = find_data() / DATA_SET
    train, held_out = (
        [prepare({
            "image": root / f"imagesTr/{case.id}.nii.gz",
            "label": root / f"labelsTr/{case.id}.nii.gz",
        }) for case in cases]
        for cases in (split.train, split.validation)
    )  # fmt: skip
    network = UNet(out_channels=3, in_channels=1, norm=("instance", {"affine": True}),
                   **config.network.arguments)  # fmt: skip
    began = time.process_time()
    fit(network, train, config)
    score = float(np.mean([dice(network, case, sides(config)) for case in held_out]))
    return score, time.process_time() - began


def sides(config: StudyConfig) -> tuple[int, ...]:
    """Return the sides of a patch in MONAI's order of axes, x, y, z."""
    return tuple(reversed(config.task.sides))


def fit(network: UNet, train: Sequence[dict[str, torch.Tensor]], config: StudyConfig) -> None:
    """Train with AdamW at its default rate on as many random patches as the study has samples."""
    crops = Dataset(train, RandSpatialCropd(BOTH, sides(config), random_size=False))
    batches = DataLoader(crops, batch_size=2, shuffle=True)
    endless = itertools.chain.from_iterable(itertools.repeat(batches))
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PLAIN_RATE)
    for batch in itertools.islice(endless, config.training.samples // 2):
        optimizer.zero_grad()
        loss(network(batch["image"]), batch["label"]).backward()
        optimizer.step()


def dice(network: UNet, case: dict[str, torch.Tensor], patch: tuple[int, ...]) -> float:
    """Return the mean Dice of both classes on a whole case."""
    with torch.no_grad():
        windows = sliding_window_inference(
            case["image"][None], patch, 2, network.eval(), overlap=0.5, mode="gaussian"
        )
    found, truth = windows.argmax(1)[0], case["label"][0]
    both = [(found == one, truth == one) for one in (1, 2)]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in both]))


TRAININGS = {
    "normsearch": ours,
    "normsearch, plain recipe": as_plain,
    "plain MONAI loop": plain,
}


def measure(seeds: Sequence[int] = (0, 1, 2)) -> pd.DataFrame:
    """Train all with each seed in turn, one thread; return a row a training and one for means."""
    torch.set_num_threads(1)
    rows = []
    for seed in seeds:
        for name, train in TRAININGS.items():
            rows.append((name, str(seed), *train(seed)))
            print(*rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["training", "seed", "Dice", "CPU seconds"])
    means = table.groupby("training", as_index=False)[["Dice", "CPU seconds"]].mean()
    return pd.concat([table, means.assign(seed="mean")], ignore_index=True).round(4)


if __name__ == "__main__":
    print(measure([int(seed) for seed in sys.argv[1:]] or (0, 1, 2)).to_string(index=False))
