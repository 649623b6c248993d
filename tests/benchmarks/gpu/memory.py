"""The probe of a batch, CUDA's context, and whether fractional shares keep apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import multiprocessing

from normsearch.errors import TrainingError
from normsearch.networks import build_network
from normsearch.training import Plan, bce_dice_loss, limit_memory, probe_memory
from tests.benchmarks.gpu.processes import gathered
from tests.benchmarks.gpu.timing import Row, row

TITLE = "Memory: the probe, CUDA's context, and processes that share the GPU"
MIB = 2**20
_PLAN = Plan(samples=10**6, evaluations=1, learning_rate=1e-3)
_BLOCK = 64 * MIB


def probed(samples: int) -> Row:
    """Return how the probe of a batch ends, and after how long."""
    network = build_network("unet2d", in_channels=1, out_channels=1, norm="GN-8", seed=0)
    images = torch.zeros(1, 1, 256, 256).expand(samples, -1, -1, -1)
    began, result = time.perf_counter(), "fits"
    try:
        probe_memory(network, (images, images), bce_dice_loss, "cuda", _PLAN)
    except TrainingError as error:
        result = error.kind
    return {"result": result, "seconds": round(time.perf_counter() - began, 2)}


def in_process(function: Callable[..., Row], *words: Any) -> Row:
    """Return what a function returns in a process of its own, whose memory limit ends with it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, words)


def probed_in_a_tenth(samples: int) -> Row:
    """Return how the probe ends in a tenth of the GPU."""
    limit_memory(0.1)
    return probed(samples)


def context() -> Row:
    """Return the MiB that the first tensor of a process takes, besides its own block."""
    before, _ = torch.cuda.mem_get_info()  # of this process, whose context exists
    taken = in_process(_taken)["free"]
    return {"result": "measured", "MiB": round((before - int(str(taken))) / MIB)}


def _taken() -> Row:
    torch.ones(1, device="cuda")
    free, _ = torch.cuda.mem_get_info()
    return {"free": free + torch.cuda.memory_reserved()}


def shared(processes: int) -> Row:
    """Return whether processes at equal shares all get their shares at the same time."""
    got = gathered(_fill, processes, processes)
    result = "apart" if all(by_limit for _, by_limit in got) else "one took another's share"
    return {"result": result, "MiB": round(min(size for size, _ in got) / MIB)}


def _fill(processes: int, barrier: Any, answers: Any) -> None:
    """Allocate until memory runs out; report the bytes and whether the process's limit was hit."""
    limit_memory(1 / processes)
    _, total = torch.cuda.mem_get_info()
    barrier.wait(timeout=120)
    held = []
    try:
        while True:
            held.append(torch.empty(_BLOCK, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        free, _ = torch.cuda.mem_get_info()
    answers.put((len(held) * _BLOCK, free > _BLOCK or len(held) * _BLOCK > total / processes * 0.8))
    barrier.wait(timeout=120)  # all hold their memory until all have answered


def measure(device: str) -> Iterator[Row]:
    """Yield the rows of the table; the CPU has none."""
    if device == "cpu":
        return
    yield row({"what": "a batch that fits"}, partial(probed, 4))
    yield row(
        {"what": "too large a batch, in a tenth of the GPU"},
        partial(in_process, probed_in_a_tenth, 4096),
    )
    yield row({"what": "the context of a process"}, context)
    for processes in (2, 4):
        yield row({"what": f"{processes} processes, each to its share"}, partial(shared, processes))
