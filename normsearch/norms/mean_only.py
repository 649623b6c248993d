"""Mean-only Batch Normalization (Salimans and Kingma, NeurIPS 2016, Sect. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import Norm
from normsearch.norms.batch_moments import bessel


class MeanOnlyBatchNorm(Norm):
    """MBN: x − μB + b, μB the mean of each channel over batch and space, with its gradient.

    It does not divide: it is meant for use after Weight Normalization (WN+MBN), which sets the
    scale. Eval subtracts the running mean, 0.9·old + 0.1·batch. `running_mean`, `momentum` and
    `reset_running_stats()` have the same meaning as in torch's BatchNorm.

    Shape: (N, C, *spatial) -> the same, in the input's dtype; means are taken in float32 at least.

    Raises:
        NormError: in training, if a channel has one value, which would become 0.
    """

    spec_text = "MBN"
    running_mean: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, dims: int, momentum: float | None = 0.1) -> None:
        super().__init__(channels, dims)
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Reset to mean 0 and no tracked batch."""
        self.running_mean.zero_()
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = self._batch_mean(work) if self.training else self.running_mean.to(work.dtype)
        shape = (1, -1, *[1] * self.dims)
        out = (work - mean.reshape(shape)) + self.bias.to(work.dtype).reshape(shape)
        return out.to(x.dtype)

    def _batch_mean(self, x: Tensor) -> Tensor:
        bessel(x.shape[0] * x[0, 0].numel(), self.spec_text)
        mean = x.mean((0, *range(2, x.dim())))
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            step: float | Tensor
            step = 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_mean.copy_(self.running_mean + (mean - self.running_mean) * step)
        return mean
