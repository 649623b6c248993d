"""Peak memory of a training, on the device that holds it."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: str) -> None:
    """Let the peak begin anew, so that a worker's next trial does not inherit the last one's."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        with contextlib.suppress(OSError):  # some containers forbid it; the peak then goes on
            _CLEAR.write_text("5")  # 5 resets VmHWM, see proc(5)


def peak_memory(device: str) -> int:
    """Return bytes: the CUDA allocator's peak, or the process's largest resident set on the CPU.

    Outside Linux the CPU figure is the peak since the process began.
    """
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
