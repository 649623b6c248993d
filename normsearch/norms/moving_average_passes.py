"""The passes over the pixels of Moving Average Batch Normalization, see moving_average.py.

Its gradient is by hand as it is no derivative: it has the mean of the last batches in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.nn.functional import batch_norm

from normsearch.norms.derivatives import first_only
from normsearch.norms.moments import full, in_format_of

if TYPE_CHECKING:
    from normsearch.norms.moving_average import MovingAverageBatchNorm


def affine(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return gain·x + bias, both (C,), as x is."""
    # Of mean 0 and variance 1: torch's broadcasting addcmul takes four times as long on CPUs.
    standard = torch.zeros_like(gain), torch.ones_like(gain)
    out = batch_norm(full(x), *standard, gain, bias, False, 0.0, 0.0)
    return in_format_of(out.to(x.dtype), x)


class _MovingAverage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm: MovingAverageBatchNorm,
        learns: bool,
    ) -> Tensor:
        lengths = torch.linalg.vector_norm(full(x), dim=tuple(range(2, x.dim())))  # (N, C)
        square = lengths.square().sum(0) / (x.numel() // norm.channels)
        norm.steps.add_(int(learns))
        square = norm.average(norm.squares, square) if learns else square
        r, scale = norm.ratio(square), torch.rsqrt(square + norm.eps)
        ctx.norm, r = norm, r * scale if learns else scale
        ctx.save_for_backward(x, weight, scale, r)
        return affine(x, full(weight) * r, full(bias))

    @staticmethod
    @first_only
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, r = ctx.saved_tensors
        work, dy, gain = full(x), full(dy), full(weight) * r
        # Of each channel Σ dy·x and Σ dy, in one pass.
        moments = torch.zeros_like(scale), torch.ones_like(scale)
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            dy, work, None, None, None, *moments, True, 0.0, [False, True, True]
        )
        mean = gain * along / (x.numel() // ctx.norm.channels)
        product = ctx.norm.average(ctx.norm.products, mean) * scale.square()
        dx = affine(dy, gain, torch.zeros_like(gain))
        dx = dx.addcmul_(work, product.view(-1, *[1] * ctx.norm.dims), value=-1)
        return dx.to(x.dtype), r * along, total, None, None


@_disable_dynamo  # torch.compiler.disable, which would import the compiler with this module
def in_training(x: Tensor, norm: MovingAverageBatchNorm) -> Tensor:
    """Return the norm of `x` with the moving averages of `norm`, which it updates."""
    given = x, norm.weight, norm.bias
    return _MovingAverage.apply(*given, norm, torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]
