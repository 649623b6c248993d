"""The other norms of PyTorch (IN, LN, GN), and the identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import instance_norm as instance_norm_of

from normsearch.errors import NormError
from normsearch.norms.base import Norm, by_rows
from normsearch.norms.batch_norm import ByKernels
from normsearch.norms.compiled import Recipe


class _InstanceNorm(ByKernels):
    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        return Recipe(((1, 1),)) if pixels > 1 else None

    def formula(self: Any, training: bool, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return instance_norm_of(x, weight=weight, bias=bias, eps=self.eps)

    def by_torch(self, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        return by_rows(input, forward)  # torch loses the memory format


class InstanceNorm1d(_InstanceNorm, nn.InstanceNorm1d):
    dims = 1


class InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    dims = 2


class InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    dims = 3


class GroupNorm(nn.GroupNorm):
    """torch's module, also accurate for channels_last inputs of large means on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        parent = super().forward
        return by_rows(input, parent) if input.device.type == "cpu" else parent(input)


_INSTANCE_NORMS = {1: InstanceNorm1d, 2: InstanceNorm2d, 3: InstanceNorm3d}


class NoNorm(Norm):
    """The spec ``none``: returns its input, and keeps the slot visible to `list_norms`.

    Shape: (N, C, *spatial) -> the same tensor.
    """

    spec_text = "none"

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.channels}, dims={self.dims}"


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
