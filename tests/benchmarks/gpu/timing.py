"""Times and memory of a step on a device, and rows of tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from normsearch.errors import NormsearchError

Row = dict[str, object]


def timed(step: Callable[[], object], device: str, steps: int) -> tuple[float, float]:
    """Return the median milliseconds of a step on the device, and of its launch on the host.

    On a GPU by pairs of CUDA events, each around one step; on the CPU both are the same.
    """
    on_device, on_host = [], []
    for _ in range(max(2, steps // 5)):  # compiles, and tunes
        step()
    for _ in range(steps):
        if device == "cpu":
            began = time.perf_counter()
            step()
            on_host.append(1000 * (time.perf_counter() - began))
            continue
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        began = time.perf_counter()
        before.record()
        step()
        after.record()
        on_host.append(1000 * (time.perf_counter() - began))
        after.synchronize()
        on_device.append(before.elapsed_time(after))
    return statistics.median(on_device or on_host), statistics.median(on_host)


def peak(step: Callable[[], object]) -> int:
    """Return the bytes of the GPU allocated at most during a step, beyond those before."""
    step()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def row(names: Row, measure: Callable[[], Row]) -> Row:
    """Return `names` with what `measure` returns; where it cannot, with a note that says why."""
    try:
        return {**names, **measure(), "note": ""}
    except (NormsearchError, RuntimeError, ImportError) as error:
        return {**names, "note": str(error).strip().partition("\n")[0][:200]}
