"""What a norm costs: seconds of a step and of a prediction, bytes kept for the backward pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch import nn

from normsearch.networks import build_network
from normsearch.networks.checkpointing import kept_storages


def paired_seconds(
    network: Mapping[str, Any],
    norms: Sequence[str],
    shape: Sequence[int],
    *,
    pairs: int = 20,
    iterations: int = 200,
    training: bool = True,
) -> pd.DataFrame:
    """Time norms that take turns at each iteration, so that what else slows it slows all alike.

    One thread. An iteration is a forward and backward pass and a step of SGD, or with `training`
    False a prediction.

    Args:
        network: keys of `build_network`, without norm and seed.
        norms: a spec each, in every slot.
        shape: of the input, (N, C, *spatial).
        pairs: rounds, each of which gives a norm one value.
        iterations: of a round and norm.

    Returns:
        A row a round and norm: pair, norm, log_seconds (of the median iteration).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {norm: _step(network, norm, shape, training) for norm in norms}
        _seconds_in_turn(steps, max(iterations // 10, 1))  # warm up
        rows = [
            (pair, norm, math.log(median(spent)))
            for pair in range(pairs)
            for norm, spent in _seconds_in_turn(steps, iterations).items()
        ]
    finally:
        torch.set_num_threads(threads)
    return pd.DataFrame(rows, columns=["pair", "norm", "log_seconds"])


def by_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Return logarithms of seconds, a row a round and a column a norm, for `difference`."""
    return table.pivot_table(index="pair", columns="norm", values="log_seconds")


def kept_bytes(network: Mapping[str, Any], norm: str, shape: Sequence[int]) -> int:
    """Return the bytes that a training step keeps for its backward pass, weights not counted."""
    net = _build(network, norm).train()
    return sum(kept_storages(net, lambda: net(torch.ones(*shape))))


def learnt_numbers(network: Mapping[str, Any], norm: str) -> int:
    """Return the number of parameters of a network with a norm in every slot."""
    net = _build(network, norm)
    return sum(parameter.numel() for parameter in net.parameters())


def _build(network: Mapping[str, Any], norm: str) -> nn.Module:
    settings = {key: value for key, value in network.items() if key != "name"}
    return build_network(str(network["name"]), **{**settings, "norm": norm, "seed": 0})


def _step(
    network: Mapping[str, Any], norm: str, shape: Sequence[int], training: bool
) -> Callable[[], None]:
    """One iteration of a network with this norm, as a function."""
    net = _build(network, norm).train(training)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(net.parameters(), 1e-4, momentum=0.9)

    def step() -> None:
        if not training:
            with torch.inference_mode():
                net(x)
            return
        optimizer.zero_grad(set_to_none=True)
        net(x).square().mean().backward()
        optimizer.step()

    return step


def _seconds_in_turn(
    steps: Mapping[str, Callable[[], None]], iterations: int
) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {norm: [] for norm in steps}
    for _ in range(iterations):
        for norm, step in steps.items():
            begin = time.perf_counter()
            step()
            spent[norm].append(time.perf_counter() - begin)
    return spent
