"""Moving Average Batch Normalization (Yan et al., ICLR 2020, arXiv 2001.06838)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from normsearch.norms.base import Norm
from normsearch.norms.moments import full, in_format_of

_LIMIT = 5.0  # of r


class MovingAverageBatchNorm(Norm):
    """MABN: γ·r·z + β, z = x/sqrt(χ² + eps), χ² the mean of x² over (N, s) and the last batches.

    r = sqrt((χ² + eps)/(χ²_running + eps)) within [1/5, 5], without gradient; χ²_running is that of
    the first batch, then 0.98·old + 0.02·χ², and alone in eval. x has the gradient
    (g − z·ψ)/sqrt(χ² + eps), g that of z, ψ the mean of g·z over (N, s) and the last batches. For
    the first 100 steps, and until the windows are full, χ² and ψ are the batch's and r is 1. No
    mean is subtracted: `apply_norm_map` centres the weights of the convolution before.

    For batches of 2 to 8 whose eval must cost no more than BN's. A ψ that overflowed is left out.
    A pass in training mode without gradients takes the batch's χ², and moves no window.

    Checked against the authors' code (megvii-model/MABN), not the paper. Its two versions differ:
    MABN.py opens r after 1,000 steps and starts χ²_running at 1; here as in its ImageNet code. The
    authors take 16 batches of 2. Shape: (N, C, *spatial) -> the same; in training it has first
    derivatives only.
    """

    running_square: Tensor
    squares: Tensor
    products: Tensor
    steps: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        channels: int,
        dims: int,
        window: int = 16,
        eps: float = 1e-5,
        momentum: float | None = 0.02,
        warmup: int = 100,
    ) -> None:
        super().__init__(channels, dims)
        self.spec_text = "MABN" if window == 16 else f"MABN(window={window})"
        self.window, self.eps, self.momentum, self.warmup = window, eps, momentum, warmup
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_square", torch.ones(channels))
        self.register_buffer("squares", torch.zeros(window, channels))
        self.register_buffer("products", torch.zeros(window, channels))
        for name in ("steps", "num_batches_tracked"):
            self.register_buffer(name, torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Reset the running mean square to 1, of no tracked batch; the windows stay."""
        self.running_square.fill_(1)
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        self.check_values(x)
        if self.training:
            return _in_training(x, self)
        scale = torch.rsqrt(full(self.running_square) + self.eps)
        return self.affine(x, full(self.weight) * scale, full(self.bias))

    def affine(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        """Return gain·x + bias, both (C,), as x is."""
        # Of mean 0 and variance 1: torch's broadcasting addcmul takes four times as long on CPUs.
        standard = torch.zeros_like(gain), torch.ones_like(gain)
        out = batch_norm(full(x), *standard, gain, bias, False, 0.0, 0.0)
        return in_format_of(out.to(x.dtype), x)

    def average(self, window: Tensor, new: Tensor) -> Tensor:
        """Put a statistic (C,) into its window; return the window's mean, `new` in the warm-up."""
        place = (self.steps % self.window).view(1)
        kept = torch.where(new.isfinite(), new, full(window.index_select(0, place)[0]))
        window.index_copy_(0, place, kept.to(window.dtype)[None])
        return torch.where(self._early(), new, full(window).mean(0))

    def ratio(self, square: Tensor) -> Tensor:
        """Return r, (C,), and update the running mean square."""
        running = full(self.running_square)
        r = torch.sqrt((square + self.eps) / (running + self.eps)).clamp(1 / _LIMIT, _LIMIT)
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.to(running.dtype)
        if self.momentum is not None:
            share = share.where(share == 1, self.momentum)
        self.running_square.copy_(running + (square - running) * share)
        return torch.where(self._early(), 1.0, r)

    def _early(self) -> Tensor:
        return (self.steps <= self.window) | (self.steps < self.warmup)


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
        return norm.affine(x, full(weight) * r, full(bias))

    @staticmethod
    @once_differentiable
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
        dx = ctx.norm.affine(dy, gain, torch.zeros_like(gain))
        dx = dx.addcmul_(work, product.view(-1, *[1] * ctx.norm.dims), value=-1)
        return dx.to(x.dtype), r * along, total, None, None


@_disable_dynamo  # torch.compiler.disable, which would import the compiler with this module
def _in_training(x: Tensor, norm: MovingAverageBatchNorm) -> Tensor:
    given = x, norm.weight, norm.bias
    return _MovingAverage.apply(*given, norm, torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]
