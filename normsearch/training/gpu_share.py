"""The share of a GPU's memory that a trial may take, and who took it when it runs out."""

from __future__ import annotations

import torch

from normsearch.errors import ConfigError

CONTEXT = 600 * 2**20
"""Bytes that CUDA takes in each process beside its tensors: 0.3 to 0.6 GiB, by GPU and driver."""

_LITTLE = 512 * 2**20  # with less free, the libraries of CUDA no longer start
_allowed: list[int] = []  # bytes for the tensors of this process; none without a limit


def limit_memory(share: float) -> None:
    """Limit this process to a `share` (0 to 1) of its GPU's memory, its CUDA context included.

    So the shares of several processes add up to what the GPU has.

    Raises:
        ConfigError: torch sees no GPU.
    """
    if not torch.cuda.is_available():
        raise ConfigError(
            "device: must be cpu where torch sees no GPU, got cuda; train on a machine with a GPU "
            "(with --local, this one trains), or with search.resources.gpu: 0"
        )
    _, total = torch.cuda.mem_get_info()
    fraction = share if share == 1 else max(share - CONTEXT / total, share / 2)
    torch.cuda.set_per_process_memory_fraction(fraction)
    _allowed[:] = [] if share == 1 else [int(fraction * total)]


def taken_by_others() -> bool:
    """Return whether other processes leave this one less GPU memory than its limit."""
    if not _allowed:
        return False
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() < _allowed[0]


def short_of_memory() -> bool:
    """Return whether an allocation on the GPU has failed in this training, or little is free."""
    if not torch.cuda.is_available():
        return False
    free, _ = torch.cuda.mem_get_info()
    return free < _LITTLE or torch.cuda.memory_stats().get("num_ooms", 0) > 0
