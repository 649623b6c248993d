"""A study's network tried on its samples before anything of a run is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import torch
from torch import nn

from normsearch.config import SpaceConfig, StudyConfig
from normsearch.data import SampleLoader, Split
from normsearch.errors import ConfigError, NormsearchError
from normsearch.networks import (
    NETWORKS,
    NormSlot,
    check_network,
    list_norms,
    use_checkpointing,
)
from normsearch.task import sample_shape, sampling_of
from normsearch.training import choose_loss, lacks_memory
from normsearch.trial import build_trial_network

_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container
_COPIES = 3  # weights, their gradients and their momentum


def tried_slots(config: StudyConfig, split: Split) -> list[NormSlot]:
    """Build a study's network, try it on a sample of each shape, and return its norm slots.

    Raises:
        NormsearchError: the network, the loss or an activation does not go with the task, or memory
            does not hold them.
    """
    sampling = sampling_of(config.task)
    SampleLoader(split.train, 1, 0, sampling=sampling)  # refuses samples of several shapes
    outputs = config.task.outputs
    choose_loss(config.training.loss, outputs, config.task.kind)  # refuses one of another task
    channels = sample_shape(config.task, split.train)[0]
    shapes = {sampling.sample(case, 0)[0].shape for case in (*split.train, *split.validation)}
    own = config.network.name in NETWORKS
    with enough_memory(f"network: {config.network.name}", "network.first_channels or task.size"):
        # Of ours no weights are made: they may be too many, and too many would end Python.
        with torch.device("meta") if own else nullcontext():
            network = _built(config, channels, outputs)
        if own:
            _check_weights(config, network)
        slots = list_norms(network)
        _check_sides(config, network, sorted(shapes), outputs)
    return slots


def _built(config: StudyConfig, channels: int, outputs: int) -> nn.Module:
    """Build a study's network, once with each activation that its space offers."""
    offered = config.space.activation if isinstance(config.space, SpaceConfig) else None
    try:
        for name in offered.choices if offered else ():  # raises for one it does not offer
            chosen = config.network.model_copy(update={"activation": name})
            build_trial_network(chosen, channels, outputs)
        network = build_trial_network(config.network, channels, outputs)
    except NormsearchError:
        raise
    except (ArithmeticError, TypeError, ValueError) as error:  # of its arguments
        reason = " ".join(str(error).split())[:200]
        told = f"network: {config.network.name} refuses its settings: {reason}."
        raise ConfigError(told) from error
    if config.training.checkpointing:
        use_checkpointing(network)
    return network


def _check_sides(
    config: StudyConfig, network: nn.Module, shapes: list[tuple[int, ...]], outputs: int
) -> None:
    """Try the network on a sample of each shape; of a foreign one, no norm is left afterwards."""
    classified = config.task.kind == "classification"
    for shape in shapes:
        if check_size := getattr(network, "check_size", None):
            check_size(shape[1:])
        else:
            check_network(network, shape, (outputs, *(() if classified else shape[1:])))


def _check_weights(config: StudyConfig, network: nn.Module) -> None:
    taken = _COPIES * sum(weight.numel() * 4 for weight in network.parameters())
    if taken > (there := _memory()):
        raise ConfigError(
            f"network: {config.network.name}: its weights, gradients and momentum must fit into "
            f"the {there / 2**30:.0f} GiB of this machine, and take {taken / 2**30:.0f} GiB; "
            "choose a smaller network.first_channels or network.depth."
        )


def _memory() -> int:
    """Return the bytes of memory that this machine, or its container, has."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file, or no limit
        found = min(found, int(_LIMIT.read_text()))
    return found


@contextmanager
def enough_memory(what: str, cure: str) -> Iterator[None]:
    """Turn what is raised for want of memory into one sentence.

    Raises:
        ConfigError: `what` does not fit; a smaller `cure` may.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{what} must fit into memory, and does not ({reason}); choose a smaller {cure}."
        ) from error
