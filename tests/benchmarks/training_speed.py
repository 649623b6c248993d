"""Training steps of a trial, over those of a plain PyTorch loop of the same network and samples.

Run as ``python -m tests.benchmarks.training_speed [STUDY...]``. Both train in one process, a step
each in turn, and CPU seconds of their one thread count, so that a busy machine matters little. The
plain loop has torch's own norms in the same network, torch's optimizer, a loss of a few lines, and
a DataLoader of the same samples in memory. The trial is what a search trains, without augmentation
and averaged weights, which the loop does not have. `ratio` is the trial's samples per second over
the loop's, from the medians of both. The other columns say where a step of the loop goes: medians
of its parts, in milliseconds; and what the trial's own loader takes.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from normsearch import Study
from normsearch.config import StudyConfig, TrialConfig
from normsearch.data import BatchLoader, Split
from normsearch.networks import list_norms
from normsearch.norms import set_progress
from normsearch.trials import training
from normsearch.trials.trial_network import network_of
from tests.conftest import find_data

TITLE = "A trial's samples per second over a plain PyTorch loop's, and CPU milliseconds of a step"
PAIRS = {"quickstart": 300, "sunnybrook_quick": 200, "hippocampus": 20}
NORMS = {"quickstart": ["IN", "GN-4"], "sunnybrook_quick": ["IN", "GN-4"], "hippocampus": ["IN"]}
AS_PLAIN = ["task.augmentation=none", "task.foreground_share=0", "training.ema=null"]


class EnoughError(Exception):
    """Ends a training that has been timed."""


class PlainLoop:
    """Steps of a training as one writes it down, and the seconds of its parts.

    Args:
        config: the trial whose network, learning rate and batch size are taken.
        loader: the trial's; its first samples are kept in memory.
        channels: channels of the images.
    """

    def __init__(self, config: TrialConfig, loader: BatchLoader, channels: int) -> None:
        self.network = network_of(config, channels)
        use_torch_norms(self.network, config.norm_map["*"])
        self.network.train()
        rate, decay = config.learning_rate, config.training.weight_decay
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(self.network.parameters(), rate, weight_decay=decay)
            if config.training.optimizer == "adamw"
            else torch.optim.SGD(self.network.parameters(), rate, momentum=0.9, weight_decay=decay)
        )
        self.loss = cross_entropy_dice if config.task.outputs > 1 else binary_dice
        batches = [loader.batch(number * config.batch_size) for number in range(16)]
        samples = [pair for images, labels in batches for pair in zip(images, labels, strict=True)]
        data = DataLoader(samples, config.batch_size, shuffle=True)  # type: ignore[arg-type]
        self.batches = itertools.chain.from_iterable(itertools.repeat(data))
        self.parts: dict[str, list[float]] = {
            name: [] for name in ("loading", "forward", "loss", "backward", "optimizer")
        }

    def step(self) -> None:
        """Train on one batch."""
        parts, clock = self.parts, time.process_time
        began = clock()
        images, labels = next(self.batches)
        loaded = clock()
        self.optimizer.zero_grad()
        logits = self.network(images)
        forward = clock()
        loss = self.loss(logits, labels)
        lost = clock()
        loss.backward()
        backward = clock()
        self.optimizer.step()
        ends = (loaded, forward, lost, backward, clock())
        for name, before, after in zip(parts, (began, *ends), ends, strict=False):
            parts[name].append(after - before)


def use_torch_norms(network: nn.Module, norm: str) -> None:
    """Replace the norms of a network by torch's InstanceNorm or GroupNorm, both with weights."""
    for slot in list_norms(network):
        parent, _, name = slot.name.rpartition(".")
        if norm == "IN":
            kind = nn.InstanceNorm2d if slot.dims == 2 else nn.InstanceNorm3d
            made: nn.Module = kind(slot.channels, affine=True)
        else:
            made = nn.GroupNorm(int(norm.removeprefix("GN-")), slot.channels)
        setattr(network.get_submodule(parent), name, made)


def binary_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy and the soft Dice of the batch."""
    share = logits.sigmoid()
    dice = (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, truth) + 1 - dice


def cross_entropy_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and the soft Dice of each class but the background over the batch."""
    share = logits.softmax(1)
    true = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1)
    axes = (0, *range(2, logits.dim()))
    overlap, sizes = (share * true).sum(axes), share.sum(axes) + true.sum(axes)
    dice = ((2 * overlap + 1) / (sizes + 1))[1:].mean()
    return functional.cross_entropy(logits, truth) + 1 - dice


def trial(config: StudyConfig, norm: str) -> TrialConfig:
    """Return a trial of a study with one norm, at the default learning rate and batch size."""
    space = config.space
    return TrialConfig(
        study=config.name, number=0, task=config.task, network=config.network,
        training=config.training, norm_map={"*": norm},
        learning_rate=space.learning_rate.middle, batch_size=space.batch_size.middle,
    )  # fmt: skip


def timed(config: TrialConfig, split: Split, pairs: int) -> tuple[list[float], PlainLoop]:
    """Train trial and loop in turn; return the trial's seconds a step, and the loop."""
    torch.set_num_threads(1)
    loader = training.training_loader(config, split.train)
    plain = PlainLoop(config, loader, loader.batch(0)[0].shape[1])
    seconds: list[float] = []
    ended: float | None = None

    def between(network: nn.Module, share: float) -> None:
        """Is called by the trial before each step: time that step, and run one of the loop."""
        nonlocal ended
        set_progress(network, share)
        if ended is not None:
            seconds.append(time.process_time() - ended)
        if len(seconds) == pairs:
            raise EnoughError
        plain.step()
        ended = time.process_time()

    with tempfile.TemporaryDirectory() as folder, patch.object(training, "set_progress", between):
        try:
            list(training.train_trial(config, split, Path(folder)))
        except EnoughError:
            return seconds, plain
    raise ValueError(f"the study must have more than {pairs} steps")


def row(name: str, norm: str) -> dict[str, object]:
    """Return the figures of a study's network with a norm in all slots."""
    with tempfile.TemporaryDirectory() as folder:
        changes = AS_PLAIN if name == "hippocampus" else []
        study = Study.load(name, changes, data=find_data(), runs_dir=folder)
        prepared = study.prepare()
        seconds, plain = timed(trial(prepared.config, norm), prepared.split, PAIRS[name])
    milliseconds = {part: 1000 * statistics.median(all_) for part, all_ in plain.parts.items()}
    ours, theirs = 1000 * statistics.median(seconds), sum(milliseconds.values())
    totals = {"trial": ours, "loop": theirs}
    figures = {part: round(value, 2) for part, value in (totals | milliseconds).items()}
    return {"study": name, "norm": norm, "ratio": round(theirs / ours, 3), **figures}


def measure(studies: Sequence[str] = tuple(PAIRS)) -> pd.DataFrame:
    """One row for each study and norm."""
    return pd.DataFrame([row(name, norm) for name in studies for norm in NORMS[name]])


if __name__ == "__main__":
    print(measure(sys.argv[1:] or tuple(PAIRS)).to_string(index=False))
