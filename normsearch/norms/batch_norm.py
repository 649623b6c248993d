"""Batch Normalization (Ioffe and Szegedy 2015): torch's module, with the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm as batch_norm_of

from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe, Running, by_kernels


class ByKernels:
    """Gives a module of torch the compiled kernels, where they support its input."""

    dims: int

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        """Return the module as data; None where torch is to compute or to refuse it."""
        raise NotImplementedError

    def formula(self, training: bool, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the same by torch, in either mode, without a change of the running moments."""
        raise NotImplementedError

    def forward(self: Any, input: Tensor) -> Tensor:
        out: Tensor | None = None
        fits = input.dim() == self.dims + 2 and input.shape[1] == self.num_features
        if fits and self.weight is not None:
            given = input, self.weight, self.bias
            formula = partial(self.formula, self.training)
            out = by_kernels(*given, self.recipe, self.eps, formula)
        return self.by_torch(input, super().forward) if out is None else out  # type: ignore[misc]

    def by_torch(self, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the output of torch's own `forward`."""
        return forward(input)


class _BatchNorm(ByKernels):
    def recipe(self: Any, samples: int, pixels: int) -> Recipe | None:
        if not self.track_running_stats or (self.training and samples * pixels < 2):
            return None
        if not self.training:
            return Recipe(((0, 1),), running=Running.of(self))
        return Recipe(((samples, 1),), running=Running.of(self, bessel(samples * pixels, "BN")))

    def formula(self: Any, training: bool, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, variance = (None, None) if training else (self.running_mean, self.running_var)
        return batch_norm_of(x, mean, variance, weight, bias, training, 0.0, self.eps)


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    dims = 1


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    dims = 2


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    dims = 3


_BATCH_NORMS = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}


def batch_norm(channels: int, dims: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """Return BN: moments over (N, s), unbiased running variance (Ioffe and Szegedy 2015).

    In training the module raises ValueError if a channel has one value (batch 1, one pixel).
    """
    return _BATCH_NORMS[dims](channels, eps=eps, momentum=momentum)
