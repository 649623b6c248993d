"""Recomputes running statistics for the current weights before an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def _modules(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            yield module


def has_running_statistics(network: nn.Module) -> bool:
    """Return whether a layer uses running statistics in eval."""
    return next(_modules(network), None) is not None


@torch.no_grad()
def recompute_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by their average over `batches`.

    Early in training the moving average of Batch Normalization lags behind the weights, which would
    make pruning unfair to it. This is "Precise BN" (Wu & Johnson, arXiv 2105.07576); it needs
    modules with `momentum` and `reset_running_stats()`, as torch.nn.BatchNorm2d has.

    Args:
        network: is in training mode afterwards.
        batches: images (B, C, *spatial), B as in training.
    """
    modules = list(_modules(network))
    momenta = [module.momentum for module in modules]
    for module in modules:
        module.reset_running_stats()  # type: ignore[operator]
        module.momentum = None  # type: ignore[assignment]  # cumulative average
    network.train()
    for images in batches:
        network(images)
    for module, momentum in zip(modules, momenta, strict=True):
        module.momentum = momentum
