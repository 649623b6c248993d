"""Memory of a training: peak, limit, and a test whether it suffices."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import itertools
import os
import platform
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from normsearch.training.acceleration import use_channels_last
from normsearch.training.error_conversion import typed_failures
from normsearch.training.losses import Loss
from normsearch.training.optimizer_step import Stepper
from normsearch.training.plan import Plan
from normsearch.training.weight_average import WeightAverage

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def prepare_memory(device: str) -> None:
    """Reset the peak before a training, and on the CPU keep what it frees for its next step.

    A worker's next trial does not inherit the peak of the last one. By default glibc gives freed
    memory back to the system at once and asks for it again at the next step, page by page: 12 to
    18% of a step of a small network. It now keeps up to 1 GiB until the next training begins. Other
    C libraries and the environment's malloc settings decide themselves.
    """
    if device != "cpu":
        torch.get_device_module(device).reset_peak_memory_stats(device)
        torch.get_device_module(device).reset_accumulated_memory_stats(device)
        return
    if platform.libc_ver()[0] == "glibc" and not _ALLOCATOR.intersection(os.environ):
        glibc = ctypes.CDLL(None)
        glibc.malloc_trim(0)
        if not glibc.mallopt(_M_MMAP_THRESHOLD, 256 << 20):
            glibc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest that older versions take
        glibc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    if _CLEAR.exists():
        with contextlib.suppress(OSError):  # some containers forbid it; the peak is then not reset
            _CLEAR.write_text("5")  # 5 resets VmHWM, see proc(5)


def peak_memory(device: str) -> int:
    """Return the peak in bytes: of the CUDA allocator, or on the CPU the largest resident set.

    Outside Linux the latter is the peak since the process started.
    """
    if device != "cpu":
        return int(torch.get_device_module(device).max_memory_allocated(device))
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def probe_memory(
    network: nn.Module,
    batch: tuple[Tensor, Tensor],
    loss: Loss,
    device: str,
    plan: Plan,
) -> None:
    """Take two optimizer steps with a copy of `network`, as in training; the second has all.

    Each takes two batches where the plan accumulates several. The optimizer's state and the average
    of the weights are in memory, and precision and memory format are those of the plan; the network
    is not compiled.

    Args:
        network: maps (B, C, *spatial) to logits (B, K, *spatial), or (B, K) for whole images; in
            training it may return logits at several scales.
        batch: images and labels of the size in training.
        loss: scalar from logits (float32) and labels.
        device: the device of the training.
        plan: of the training.

    Raises:
        TrainingError: there is too little memory.
    """
    plan = replace(plan, compile=False, cuda_graphs=False, accumulate=min(2, plan.accumulate))
    with _random_state_kept(device), typed_failures(len(batch[0])):
        probe = copy.deepcopy(network).to(device).train()
        if plan.channels_last:
            use_channels_last(probe)
        stepper, average = Stepper(probe, loss, plan, device), WeightAverage(probe, plan.ema)
        for _ in range(2):
            stepper.step(itertools.repeat(batch), 0.0)
            average.update()
    del probe, stepper, average
    if device != "cpu":
        torch.get_device_module(device).empty_cache()  # for other processes


@contextlib.contextmanager
def _random_state_kept(device: str) -> Iterator[None]:
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)


def random_state(device: str) -> dict[str, Tensor]:
    """Return the states of torch's random numbers, of the CPU and of the device in use."""
    state = {"random": torch.get_rng_state()}
    if device != "cpu":
        state["random_device"] = torch.get_device_module(device).get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Any], device: str) -> None:
    """Restore what `random_state` returned; that of a GPU if it was trained on one.

    Raises:
        LookupError, RuntimeError, TypeError: the state is not one of `random_state`.
    """
    torch.set_rng_state(state["random"])
    if device != "cpu" and "random_device" in state:
        torch.get_device_module(device).set_rng_state(state["random_device"], device)
