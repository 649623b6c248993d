"""Passes the progress of training to norms that have a schedule."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from normsearch.errors import NormError
from normsearch.norms.base import Norm


@runtime_checkable
class FollowsProgress(Protocol):
    """A norm with a schedule over training: BRN opens its limits, SSN becomes sparse."""

    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, 0 to 1."""
        ...


def set_progress(net: nn.Module, fraction: float) -> None:
    """Pass the fraction of training that is done to all norms of `net`; call it before each step.

    Args:
        net: any network; norms without a schedule are skipped.
        fraction: 0 at the first step, 1 at the end.

    Raises:
        NormError: `fraction` is not within 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise NormError(f"training progress must be from 0 to 1, got {fraction}")
    for norm in net.modules():
        if isinstance(norm, Norm) and isinstance(norm, FollowsProgress):
            norm.set_progress(fraction)


def norms_to_update(net: nn.Module) -> nn.ModuleList:
    """Return the norms of `net` that have gates or a schedule.

    Given these instead of `net`, `set_progress` and `clamp_gates` need not go through all of its
    modules at each step.
    """
    norms = (module for module in net.modules() if isinstance(module, Norm))
    return nn.ModuleList(
        norm for norm in norms if norm.gates() or isinstance(norm, FollowsProgress)
    )
