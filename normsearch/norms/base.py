"""Bases of all norms but torch's own: they know their slot, composite ones their moments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.compiled import Recipe, Track, can_compute, can_follow, normalize_compiled
from normsearch.norms.moments import (
    Affine,
    Moments,
    Pullback,
    by_autograd,
    full,
    in_format_of,
    normalize_composed,
    normalize_linearized,
)


def by_rows(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """`norm` of `x` laid out channel by channel; the result in the memory format of `x`.

    On a CPU torch 2.13's group_norm takes E[x²] − E[x]² of channels_last inputs, wrong by more than
    the values themselves at means of 1e3; its instance_norm loses the memory format.
    """
    return in_format_of(norm(x.contiguous()), x)


class Norm(nn.Module):
    """A norm of (N, C, *spatial) tensors that remembers its slot, so that the slot stays findable.

    Args:
        channels: C.
        dims: the number of spatial axes: 1, 2 or 3.
    """

    spec_text: str  # what NormSpec.parse reads back

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.channels = channels
        self.dims = dims

    def check_input(self, x: Tensor) -> None:
        """Raise NormError unless `x` is (N, C, *spatial) with this norm's C and spatial axes."""
        if x.dim() != self.dims + 2 or x.shape[1] != self.channels:
            axes = ", ".join(["N", str(self.channels), *"DHW"[3 - self.dims :]])
            raise NormError(f"{self.spec_text} needs an input ({axes}), got {tuple(x.shape)}")

    def gates(self) -> list[nn.Parameter]:
        """The parameters that choose between statistics: own learning rate, no weight decay."""
        return []

    def clamp_gates(self) -> None:
        """Bring the gates back into their range; to be called after each optimizer step."""

    def mixing_weights(self) -> dict[str, dict[str, float]]:
        """The weight each statistic has now, as plain numbers: {what is mixed: {norm: weight}}."""
        return {}

    def extra_repr(self) -> str:
        return f"{self.spec_text}, {self.channels}, dims={self.dims}"


class MomentNorm(Norm):
    """Base of the composite norms: weight, bias, the door check and the pass over the pixels.

    A subclass says in `coefficients` what to do with the moments, and in `gates` and `importance`
    what it has learnt. Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    def __init__(self, channels: int, dims: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        """The norm's affine map before weight and bias, from moments of shape (N, C).

        By differentiable torch operations: a norm need say no more than this.
        """
        raise NotImplementedError

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        """`coefficients`, and the gradient through them to the moments and `extra_inputs`.

        Here autograd works that out. A norm that gives it by hand spares the two dozen small
        operations that cost as much as the pixels of a small map.
        """
        return by_autograd(partial(self.coefficients, pixels=pixels), self.extra_inputs(), moments)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        """`coefficients` told as data, for the compiled kernels; None where they cannot be."""
        return None

    def extra_inputs(self) -> list[Tensor]:
        """What `coefficients` may depend on beside the moments: the other parameters."""
        return [p for p in self.parameters() if p is not self.weight and p is not self.bias]

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        pixels = x.shape[2:].numel()
        if torch.compiler.is_compiling():
            made = partial(self.coefficients, pixels=pixels)
            return normalize_composed(x, self.weight, self.bias, made)
        recipe = self.recipe(len(x), pixels) if can_compute(x) else None
        if recipe and can_follow(recipe, self.weight, self.bias):
            return normalize_compiled(x, self.weight, self.bias, recipe, self.eps)
        if x.numel() == 0:
            raise NormError(f"{self.spec_text} needs at least one value, got {tuple(x.shape)}")
        linearize = partial(self.linearize, pixels=pixels)
        return normalize_linearized(
            x, self.weight, self.bias, linearize, self.eps, self.extra_inputs()
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


class RunningMomentNorm(MomentNorm):
    """A composite norm that keeps running moments for eval, in torch BatchNorm's way.

    `running_mean`, `running_var`, `num_batches_tracked`, `momentum` (None: cumulative average) and
    `reset_running_stats()` mean what they mean there, so one function can recompute them for all.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Forget: mean 0, variance 1, no batch seen."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def track(self, mean: Tensor, variance: Tensor) -> None:
        """Take one batch's moments, (C,) or (1, C), into the running ones."""
        self.num_batches_tracked.add_(1)
        # A tensor, not float(): reading the count would make a GPU wait at every batch.
        step: float | Tensor | None = self.momentum
        if step is None:
            step = (1.0 / self.num_batches_tracked).to(self.running_mean.dtype)
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.lerp_(new.detach().view(-1).to(running.dtype), step)

    def tracking(self, channels: int = 1, unbias: float = 1.0) -> Track:
        """`track` told as data: `channels` of one running moment, the factor of the variance."""
        buffers = self.running_mean, self.running_var, self.num_batches_tracked
        return Track(*buffers, self.momentum, channels, unbias)

    def running(self) -> Moments:
        """The running moments, (1, C)."""
        return Moments(full(self.running_mean)[None], full(self.running_var)[None])
