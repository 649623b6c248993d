"""The share of the time that training waits for data, from the cache.

Slices of sunnybrook, where it is there, and patches of made-up volumes, which are read in parts.
"""

from __future__ import annotations

import itertools
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from normsearch.data import (
    Augmentation,
    BatchLoader,
    Case,
    Patches,
    PatchLoader,
    Preparation,
    SampleLoader,
    load_cases,
    preset_transforms,
)
from normsearch.files import cache_folder
from normsearch.networks import NETWORKS, UNet2d
from normsearch.training.losses import bce_dice_loss
from tests.benchmarks.large_data import write_volumes
from tests.benchmarks.norm_speed import steady
from tests.conftest import find_data

TITLE = (
    "Waiting for data: sunnybrook at 256x256 in batches of 4 (U-Net of 8 channels, depth 3); "
    "patches of 32x64x64 of 6 volumes of 100x256x256 in batches of 2 (ResUNet of 8, depth 2)"
)
PAPER = Augmentation(rotation=(-60, 60, 2))
NNUNET = Augmentation(transforms=preset_transforms("nnunet", (256, 256)))


def train(network: torch.nn.Module, loader: BatchLoader, samples: int) -> tuple[float, float]:
    """Train on so many samples; return the seconds waited for data and all seconds."""
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
    loader.close()
    return waited, time.perf_counter() - began


def opened(root: Path, preparation: Preparation, cache: Path) -> tuple[list[Case], float]:
    """Return the cases of a data set, and the seconds to open them once they are in the cache."""
    load_cases(root, preparation, cache=cache)
    began = time.perf_counter()
    return load_cases(root, preparation, cache=cache), time.perf_counter() - began


def slices(samples: int) -> Iterator[tuple[object, ...]]:
    """Yield a row without augmentation, and one with the ILN paper's and with nnU-Net's."""
    root = find_data() / "sunnybrook"
    if not root.is_dir():
        return
    cases, seconds = opened(root, Preparation(size=(256, 256)), cache_folder() / "cases")
    for name, augment in (("none", None), ("rotation -60:2:60", PAPER), ("nnunet", NNUNET)):
        network = UNet2d(first_channels=8, depth=3, norm="GN-4", seed=0)
        waited, total = train(network, SampleLoader(cases, 4, 0, augment=augment), samples)
        yield "slices", name, 0, samples, seconds, total, waited / total


def patches(samples: int) -> Iterator[tuple[object, ...]]:
    """Yield a row for patches without loader workers, with one, and with two."""
    with tempfile.TemporaryDirectory() as folder:
        write_volumes(Path(folder) / "data", 6, (100, 256, 256))
        cases, seconds = opened(Path(folder) / "data", Preparation(), Path(folder) / "cache")
        for workers in (0, 1, 2):
            network = NETWORKS["res_unet3d"](first_channels=8, depth=2, norm="GN-4", seed=0)
            loader = PatchLoader(cases, Patches((32, 64, 64)), 2, 0, workers=workers)
            loader.batch(0)  # finds the foreground of some cases
            waited, total = train(network, loader, samples)
            yield "patches", "none", workers, samples, seconds, total, waited / total


def measure(samples: int = 240) -> pd.DataFrame:
    """Return the rows of slices and of patches."""
    with warnings.catch_warnings(), steady():
        warnings.simplefilter("ignore")  # the files give no spacing
        rows = [*slices(samples), *patches(samples // 2)]
    columns = ["samples of", "augmentation", "workers", "number", "seconds to open", "seconds"]
    return pd.DataFrame(rows, columns=[*columns, "share waited"]).round(4)
