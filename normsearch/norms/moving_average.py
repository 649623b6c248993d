"""Moving Average Batch Normalization (Yan et al., ICLR 2020, arXiv 2001.06838)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import Norm
from normsearch.norms.moments import full
from normsearch.norms.moving_average_passes import affine, in_training

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
            return in_training(x, self)
        scale = torch.rsqrt(full(self.running_square) + self.eps)
        return affine(x, full(self.weight) * scale, full(self.bias))

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
