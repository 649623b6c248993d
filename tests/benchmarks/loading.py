"""The share of an epoch that training waits for data: sunnybrook at 256 x 256, cache built."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from pathlib import Path

import pandas as pd
import torch

from normsearch.data import (
    Augmentation,
    Preparation,
    SampleLoader,
    load_cases,
    preset_transforms,
)
from normsearch.files import cache_folder
from normsearch.networks import UNet2d
from normsearch.training.losses import bce_dice_loss
from tests.benchmarks.norm_speed import steady

TITLE = "Waiting for data, sunnybrook at 256x256 in batches of 4 (U-Net of 8 channels, depth 3)"
PAPER = Augmentation(rotation=(-60, 60, 2))
NNUNET = Augmentation(transforms=preset_transforms("nnunet", (256, 256)))


def data_root() -> Path:
    """Return the folder of the real images, which may not be there."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("NORMSEARCH_DATA", default))


def train(loader: SampleLoader, samples: int) -> tuple[float, float]:
    """Train on so many samples; return the seconds waited for data and all seconds."""
    network = UNet2d(first_channels=8, depth=3, norm="GN-4", seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    waited, began = 0.0, time.perf_counter()
    batches = loader.batches(0)
    for _ in itertools.repeat(None, -(-samples // loader.batch_size)):
        asked = time.perf_counter()
        images, labels = next(batches)
        waited += time.perf_counter() - asked
        optimizer.zero_grad()
        bce_dice_loss(network(images), labels).backward()
        optimizer.step()
    return waited, time.perf_counter() - began


def measure(samples: int = 240) -> pd.DataFrame:
    """One row without augmentation, and one with the ILN paper's and with nnU-Net's."""
    root = data_root() / "sunnybrook"
    if not root.is_dir():
        return pd.DataFrame({"left out": [f"no real images: {root} is not there"]})
    rows = []
    with warnings.catch_warnings(), steady():
        warnings.simplefilter("ignore")  # the files give no spacing
        for _ in range(2):  # the second time from the cache
            began = time.perf_counter()
            cases = load_cases(root, Preparation(size=(256, 256)), cache=cache_folder() / "cases")
            opened = time.perf_counter() - began
        for name, augment in (("none", None), ("rotation -60:2:60", PAPER), ("nnunet", NNUNET)):
            loader = SampleLoader(cases, 4, 0, augment=augment)
            waited, total = train(loader, samples)
            rows.append((name, samples, opened, total, waited / total))
    columns = ["augmentation", "samples", "seconds to open", "seconds", "share waited"]
    return pd.DataFrame(rows, columns=columns).round(4)
