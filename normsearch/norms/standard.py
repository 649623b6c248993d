"""The norms of PyTorch (BN, IN, LN, GN), and the identity."""

from __future__ import annotations

from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import Norm, by_rows

_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's module, keeping the memory format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return by_rows(input, super().forward)


class InstanceNorm3d(nn.InstanceNorm3d):
    """torch's module, keeping the memory format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return by_rows(input, super().forward)


class GroupNorm(nn.GroupNorm):
    """torch's module, also accurate for channels_last inputs of large means on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        parent = super().forward
        return by_rows(input, parent) if input.device.type == "cpu" else parent(input)


_INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: InstanceNorm2d, 3: InstanceNorm3d}


class NoNorm(Norm):
    """The spec ``none``: returns its input, and keeps the slot visible to `list_norms`.

    Shape: (N, C, *spatial) -> the same tensor.
    """

    spec_text = "none"

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.channels}, dims={self.dims}"


def batch_norm(channels: int, dims: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """Return BN: moments over (N, s), unbiased running variance (Ioffe and Szegedy 2015).

    In training the module raises ValueError if a channel has one value (batch 1, one pixel).
    """
    return _BATCH_NORMS[dims](channels, eps=eps, momentum=momentum)


def instance_norm(channels: int, dims: int) -> nn.Module:
    """Return IN with learnt weight and bias, which torch disables by default (Ulyanov et al. 2016).

    The module raises ValueError for one pixel, in training and in eval.
    """
    return _INSTANCE_NORMS[dims](channels, affine=True)


def group_norm(groups: int, channels: int) -> nn.Module:
    """Return GN, which is LN for one group: moments over (C/G, s) of each sample (Wu and He 2018).

    Raises:
        NormError: `groups` does not divide `channels`.
    """
    if channels % groups:
        raise NormError(f"GN-{groups} needs a channel count that {groups} divides, got {channels}")
    return GroupNorm(groups, channels)
