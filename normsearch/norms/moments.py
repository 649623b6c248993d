"""Moments -> a little algebra on (N, C) -> one affine pass: what every composite norm here shares.

A norm of this family is y = scale[n, c] * (x - mean[n, c]) + shift[n, c], with mean and variance
taken over the pixels of one channel of one sample. Writing it around the channel's own mean keeps
float32 accurate where the mean is far larger than the spread: nothing large is ever subtracted
after it was rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from normsearch.errors import NormError


class Moments(NamedTuple):
    """A mean and a biased variance, both of shape (N, C) or broadcastable to it."""

    mean: Tensor
    variance: Tensor


class Affine(NamedTuple):
    """y = scale * (x - channel mean) + shift, both of shape (N, C) or broadcastable to it."""

    scale: Tensor
    shift: Tensor


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, ...), to be broadcast over the pixels of `like`."""
    return values.reshape(*values.shape, *[1] * (like.dim() - 2))


def _full(x: Tensor) -> Tensor:
    """In float32 at least: float16 squares overflow above 255."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class _Center(torch.autograd.Function):
    """x -> (x − mean, mean, variance); the gradient of the first output is that with mean held."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        work = _full(x)
        mean = work.mean(tuple(range(2, x.dim())))
        centred = work - _spread(mean, x)
        ctx.save_for_backward(centred)
        ctx.dtype = x.dtype
        return centred, mean, _mean_square(centred)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_centred: Tensor, d_mean: Tensor, d_variance: Tensor) -> Tensor:
        (centred,) = ctx.saved_tensors
        pixels = centred[0, 0].numel()
        offset = _spread(d_mean / pixels, centred)
        slope = _spread(d_variance * (2 / pixels), centred)
        grad = torch.addcmul(offset, slope, centred).add_(d_centred)
        return grad.to(ctx.dtype)


class _Apply(torch.autograd.Function):
    """(x − mean, mean, scale, shift) -> scale·(x − mean) + shift, with x and mean as variables."""

    @staticmethod
    def forward(ctx: Any, centred: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(centred, scale)
        return torch.addcmul(_spread(shift, centred), _spread(scale, centred), centred)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        centred, scale = ctx.saved_tensors
        axes = tuple(range(2, dy.dim()))
        d_shift = dy.sum(axes)
        return dy * _spread(scale, dy), -scale * d_shift, (dy * centred).sum(axes), d_shift


def _mean_square(centred: Tensor) -> Tensor:
    """The mean of squares over the pixels, (N, C): never below 0, and nothing cancels in it."""
    if centred.dim() < 4:
        return centred.square().mean(-1)
    # Row by row: over a whole volume vector_norm's plain float32 sum was wrong by 1e-3, and the
    # squares of a whole map written to memory take four to fourteen times as long.
    rows = torch.linalg.vector_norm(centred, dim=-1).square()
    total: Tensor = rows.flatten(2).sum(2)
    return total / centred[0, 0].numel()


def normalize_channels(x: Tensor, coefficients: Callable[[Moments], Affine]) -> Tensor:
    """Take the moments of every channel of every sample, and apply the affine map made from them.

    Two reads and two writes forward, much the same backward. First derivatives only.

    Args:
        x: (N, C, *spatial), any floating dtype; statistics are taken in float32 at least.
        coefficients: from moments of shape (N, C) to scale and shift of shape (N, C), by
            differentiable torch operations; parameters may take part.

    Returns:
        scale·(x − mean) + shift, (N, C, *spatial), in the dtype of `x`.
    """
    centred, mean, variance = _Center.apply(x)  # type: ignore[no-untyped-call]
    scale, shift = coefficients(Moments(mean, variance))
    out: Tensor = _Apply.apply(centred, mean, scale, shift)  # type: ignore[no-untyped-call]
    return out.to(x.dtype)


def pool(moments: Moments, axis: int) -> Moments:
    """The moments of several channels (or samples) taken together, the axis kept with length 1.

    mean(v) + var(m): a sum of squares, where mean(v + m²) − mean(m)² would cancel.
    """
    mean = moments.mean.mean(axis, keepdim=True)
    variance = moments.variance.mean(axis, keepdim=True)
    return Moments(mean, variance + (moments.mean - mean).square().mean(axis, keepdim=True))


def normalize(moments: Moments, by: Moments, eps: float) -> Affine:
    """The affine map that takes x to (x − by.mean) / sqrt(by.variance + eps)."""
    scale = torch.rsqrt(by.variance + eps)
    return Affine(scale, (moments.mean - by.mean) * scale)


class MomentNorm(nn.Module):
    """Base of the composite norms: weight, bias, the door check and the pass over the pixels.

    A subclass says in `coefficients` what to do with the moments, and in `gates` and `importance`
    what it has learnt. Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    spec_text: str  # what NormSpec.parse reads back

    def __init__(self, channels: int, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = channels
        self.dims = dims
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        """The norm's affine map before weight and bias, from moments of shape (N, C)."""
        raise NotImplementedError

    def gates(self) -> list[nn.Parameter]:
        """The parameters that choose between statistics: own learning rate, no weight decay."""
        return []

    def clamp_gates(self) -> None:
        """Bring the gates back into their range; to be called after each optimizer step."""

    def importance(self) -> dict[str, dict[str, float]]:
        """The weight each statistic has now, as plain numbers: {what is mixed: {norm: weight}}."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != self.dims + 2 or x.shape[1] != self.channels:
            axes = ", ".join(["N", str(self.channels), *"DHW"[3 - self.dims :]])
            raise NormError(f"{self.spec_text} needs an input ({axes}), got {tuple(x.shape)}")
        return normalize_channels(x, lambda moments: self._affine(moments, x[0, 0].numel()))

    def _affine(self, moments: Moments, pixels: int) -> Affine:
        scale, shift = self.coefficients(moments, pixels)
        return Affine(self.weight * scale, self.weight * shift + self.bias)

    def extra_repr(self) -> str:
        return f"{self.spec_text}, {self.channels}, dims={self.dims}, eps={self.eps}"


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

    @torch.no_grad()
    def track(self, mean: Tensor, variance: Tensor) -> None:
        """Take one batch's moments, (C,) or (1, C), into the running ones."""
        self.num_batches_tracked.add_(1)
        step: float | Tensor
        # A tensor, not float(): reading the count would make a GPU wait at every batch.
        step = 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.copy_(running + (new.reshape(-1) - running) * step)

    def running(self) -> Moments:
        """The running moments, (1, C)."""
        return Moments(_full(self.running_mean)[None], _full(self.running_var)[None])
