"""The norms that torch itself provides (BN, IN, LN, GN), and the norm that does nothing."""

from __future__ import annotations

from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import Norm, by_rows

_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's module, which keeps the memory format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return by_rows(input, super().forward)


class InstanceNorm3d(nn.InstanceNorm3d):
    """torch's module, which keeps the memory format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return by_rows(input, super().forward)


class GroupNorm(nn.GroupNorm):
    """torch's module, right for channels_last inputs of large means on a CPU too."""

    def forward(self, input: Tensor) -> Tensor:
        parent = super().forward
        return by_rows(input, parent) if input.device.type == "cpu" else parent(input)


_INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: InstanceNorm2d, 3: InstanceNorm3d}


class NoNorm(Norm):
    """The spec ``none``: returns its input, and remembers its slot so that the slot stays findable.

    Shape: (N, C, *spatial) -> the very same tensor.
    """

    spec_text = "none"

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.channels}, dims={self.dims}"


def batch_norm(channels: int, dims: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """BN: moments over (N, s), running variance unbiased (Ioffe and Szegedy 2015, torch's module).

    In training it raises ValueError where a channel has one value (batch 1, one pixel).
    """
    return _BATCH_NORMS[dims](channels, eps=eps, momentum=momentum)


def instance_norm(channels: int, dims: int) -> nn.Module:
    """IN with weight and bias learnt, which torch leaves off by default (Ulyanov et al. 2016).

    It raises ValueError at one pixel, in training and in eval.
    """
    return _INSTANCE_NORMS[dims](channels, affine=True)


def group_norm(groups: int, channels: int) -> nn.Module:
    """GN, and LN when `groups` is 1: moments over (C/G, s) of each sample (Wu and He 2018).

    Raises:
        NormError: `groups` does not divide `channels`.
    """
    if channels % groups:
        raise NormError(f"GN-{groups} needs a channel count that {groups} divides, got {channels}")
    return GroupNorm(groups, channels)
