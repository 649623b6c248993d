"""Samples per second of 1, 2, 4 and 8 small trainings side by side on one GPU."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from normsearch.networks import build_network
from normsearch.training import Plan, bce_dice_loss, limit_memory
from normsearch.training.optimizer_step import Stepper
from tests.benchmarks.gpu.processes import gathered
from tests.benchmarks.gpu.timing import Row, row

TITLE = "Small trainings side by side on one GPU: samples per second of all together"
SECONDS = 10.0
_BATCH = 4


def measured(processes: int, device: str, seconds: float) -> Row:
    """Return the samples per second of so many processes, each with its share of the GPU."""
    rates = gathered(_train, processes, 1 / processes, device, seconds)
    return {"samples per second": round(sum(rates), 1), "of the slowest": round(min(rates), 1)}


def _train(share: float, device: str, seconds: float, barrier: Any, answers: Any) -> None:
    """Train for so many seconds and report the samples per second; batches come from the CPU."""
    torch.set_num_threads(1)
    if device != "cpu":
        limit_memory(share)
    network = build_network(
        "unet2d", in_channels=1, out_channels=1, first_channels=8, depth=2, norm="GN-8", seed=0
    )
    images = torch.randn(_BATCH, 1, 64, 64)
    plan = Plan(samples=10**6, evaluations=1, learning_rate=1e-3)
    stepper = Stepper(network.to(device).train(), bce_dice_loss, plan, device)
    batches = itertools.repeat((images, (images > 0.5).float()))
    float(stepper.step(batches, 0.0)[0])
    barrier.wait(timeout=120)
    began, samples = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        losses = [stepper.step(batches, 0.0) for _ in range(10)]
        float(losses[-1][0])  # waits for the device, as a training does
        samples += sum(count for _, count in losses)
    answers.put(samples / (time.perf_counter() - began))


def measure(device: str) -> Iterator[Row]:
    """Yield the rows of the table; on the CPU, of a rehearsal."""
    counts, seconds = ((2,), 0.1) if device == "cpu" else ((1, 2, 4, 8), SECONDS)
    for processes in counts:
        yield row({"trainings": processes}, partial(measured, processes, device, seconds))
