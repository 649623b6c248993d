"""The norms of PyTorch (BN, IN, LN, GN), and the identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm as batch_norm_of
from torch.nn.functional import instance_norm as instance_norm_of

from normsearch.errors import NormError
from normsearch.norms.base import Norm, by_rows
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe, Running, by_kernels


class _ByKernels:
    """Gives a module of torch the compiled kernels, where they support its input."""

    dims: int

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        """Return the module as data; None where torch is to compute or to refuse it."""
        raise NotImplementedError

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the same by torch, without a change of the running moments."""
        raise NotImplementedError

    def forward(self: Any, input: Tensor) -> Tensor:
        out: Tensor | None = None
        fits = input.dim() == self.dims + 2 and input.shape[1] == self.num_features
        if fits and self.weight is not None:
            given = input, self.weight, self.bias
            out = by_kernels(*given, self.recipe, self.eps, self.formula)
        return self.by_torch(input, super().forward) if out is None else out  # type: ignore[misc]

    def by_torch(self, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the output of torch's own `forward`."""
        return forward(input)


class _BatchNorm(_ByKernels):
    def recipe(self: Any, samples: int, pixels: int) -> Recipe | None:
        if not self.track_running_stats or (self.training and samples * pixels < 2):
            return None
        own = self._buffers  # __getattr__ of a module would be felt
        moments = own["running_mean"], own["running_var"]
        if not self.training:
            return Recipe(((0, 1),), running=Running(*moments))
        unbias = bessel(samples * pixels, "BN")
        running = Running(*moments, own["num_batches_tracked"], self.momentum, unbias=unbias)
        return Recipe(((samples, 1),), running=running)

    def formula(self: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, variance = (None if self.training else one
                          for one in (self.running_mean, self.running_var))  # fmt: skip
        return batch_norm_of(x, mean, variance, weight, bias, self.training, 0.0, self.eps)


class _InstanceNorm(_ByKernels):
    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        return Recipe(((1, 1),)) if pixels > 1 else None

    def formula(self: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return instance_norm_of(x, weight=weight, bias=bias, eps=self.eps)

    def by_torch(self, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        return by_rows(input, forward)  # torch loses the memory format


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    dims = 1


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    dims = 2


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    dims = 3


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


_BATCH_NORMS = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
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
