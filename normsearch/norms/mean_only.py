"""Mean-only Batch Normalization (Salimans and Kingma, NeurIPS 2016, Sect. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import FormulaNorm, update_running
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import CENTRE, Recipe, Running
from normsearch.norms.moments import full


class MeanOnlyBatchNorm(FormulaNorm):
    """MBN: x − μB + b, μB the mean of each channel over batch and space, with its gradient.

    It does not divide: it is meant for use after Weight Normalization (WN+MBN), which sets the
    scale. Eval subtracts the running mean, 0.9·old + 0.1·batch. `running_mean`, `momentum` and
    `reset_running_stats()` have the same meaning as in torch's BatchNorm.

    Shape: (N, C, *spatial) -> the same, in the input's dtype; means are taken in float32 at least.

    Raises:
        NormError: in training, if a channel has one value, which would become 0.
    """

    spec_text = "MBN"
    eps = 0.0  # it divides by nothing
    running_mean: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, dims: int, momentum: float | None = 0.1) -> None:
        super().__init__(channels, dims)
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("weight", torch.ones(channels), persistent=False)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Reset to mean 0 and no tracked batch."""
        self.running_mean.zero_()
        self.num_batches_tracked.zero_()

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        work, shape = full(x), (1, -1, *[1] * self.dims)
        mean = self._batch_mean(work) if self.training else self.running_mean.to(work.dtype)
        return ((work - mean.reshape(shape)) + bias.to(work.dtype).reshape(shape)).to(x.dtype)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        running = self.running_mean, torch.ones_like(self.running_mean)  # there is no variance
        if not self.training:
            return Recipe(((0, 1),), running=Running(*running), by=CENTRE)
        bessel(samples * pixels, self.spec_text)
        tracked = Running(*running, self.num_batches_tracked, self.momentum)
        return Recipe(((samples, 1),), running=tracked, by=CENTRE)

    def _batch_mean(self, x: Tensor) -> Tensor:
        bessel(x.shape[0] * x[0, 0].numel(), self.spec_text)
        mean = x.mean((0, *range(2, x.dim())))
        if self.tracks:
            update_running(self.momentum, self.num_batches_tracked, (self.running_mean, mean))
        return mean
