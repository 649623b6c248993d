"""Checks that a study's network fits into memory before it is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from normsearch.config import StudyConfig
from normsearch.errors import ConfigError, one_line
from normsearch.networks import NETWORKS
from normsearch.training import lacks_memory
from normsearch.trials.trial_network import outline

_LIMIT = Path("/sys/fs/cgroup/memory.max")  # limit of a container
_COPIES = 3  # weights, their gradients and their momentum


def check_weights(config: StudyConfig, channels: int) -> None:
    """Check the size of a built-in network without allocating its weights.

    Raises:
        ConfigError: the network refuses its settings, or does not fit into memory.
    """
    if config.network.name not in NETWORKS:
        return
    try:
        network = outline(config.network, channels, config.task.outputs)
    except (ArithmeticError, TypeError, ValueError) as error:  # of its arguments
        told = f"network: {config.network.name} refuses its settings: {one_line(error)}"
        raise ConfigError(told if told.endswith((".", "?")) else f"{told}.") from error
    taken = _COPIES * sum(weight.numel() * 4 for weight in network.parameters())
    if taken > (there := _memory()):
        raise ConfigError(
            f"network: {config.network.name}: its weights, gradients and momentum must fit into "
            f"the {there / 2**30:.0f} GiB of this machine, and take {taken / 2**30:.0f} GiB; "
            "choose a smaller network.first_channels or network.depth."
        )


def _memory() -> int:
    """Return the memory of this machine or container, in bytes."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file, or no limit
        found = min(found, int(_LIMIT.read_text()))
    return found


@contextmanager
def enough_memory(what: str, cure: str) -> Iterator[None]:
    """Convert errors of too little memory to ConfigError.

    Raises:
        ConfigError: `what` does not fit into memory; the message suggests a smaller `cure`.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        reason = one_line(error)
        raise ConfigError(
            f"{what} must fit into memory, and does not ({reason}); choose a smaller {cure}."
        ) from error
