"""Memory of a training: peak, limit, and a test whether it suffices."""

from __future__ import annotations

import contextlib
import copy
import resource
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from normsearch.training.deep_supervision import OutputLoss
from normsearch.training.error_conversion import typed_failures

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: str) -> None:
    """Reset the peak, so that a worker's next trial does not inherit that of the last one."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        with contextlib.suppress(OSError):  # some containers forbid it; the peak is then not reset
            _CLEAR.write_text("5")  # 5 resets VmHWM, see proc(5)


def peak_memory(device: str) -> int:
    """Return the peak in bytes: of the CUDA allocator, or on the CPU the largest resident set.

    Outside Linux the latter is the peak since the process started.
    """
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def limit_memory(share: float) -> None:
    """Limit this process to a `share` (0 to 1) of its GPU's memory."""
    torch.cuda.set_per_process_memory_fraction(share)


def probe_memory(
    network: nn.Module,
    batch: tuple[Tensor, Tensor],
    loss: OutputLoss,
    device: str,
) -> None:
    """Run one forward and backward pass on a copy of `network`.

    Args:
        network: maps (B, C, *spatial) to logits (B, K, *spatial), or (B, K) for whole images; in
            training it may return logits at several scales.
        batch: images and labels of the size in training.
        loss: scalar from all that the network returns, and labels.
        device: the device of the training.

    Raises:
        TrainingError: there is too little memory.
    """
    devices = [torch.cuda.current_device()] if device != "cpu" else []
    with torch.random.fork_rng(devices), typed_failures(len(batch[0])):
        probe = copy.deepcopy(network).to(device).train()
        images, labels = (tensor.to(device) for tensor in batch)
        loss(probe(images), labels).backward()  # type: ignore[no-untyped-call]
    del probe, images, labels
    if devices:
        torch.cuda.empty_cache()
