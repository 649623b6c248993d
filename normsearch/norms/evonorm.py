"""EvoNorm-S0 and EvoNorm-B0: norm and activation as one formula (Liu et al., NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import FormulaNorm, OwnsActivation, update_running
from normsearch.norms.compiled import RATIO, SILU, Recipe, Running
from normsearch.norms.groups import check_groups
from normsearch.norms.moments import full


class _EvoNorm(OwnsActivation, FormulaNorm):
    """γ·(a function of x, v and standard deviations) + β; γ and v start at 1, β at 0.

    Source: arXiv 2004.02967. Formulas, ε, decay, biased running variance and initial values were
    checked against the authors' code (tensorflow/tpu, resnet_model.py), not the paper.
    """

    def __init__(self, channels: int, dims: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.v = nn.Parameter(torch.ones(channels))

    def activate(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the normalized activation of x (N, C, *spatial), before γ and β; v (C, 1, ...)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        self.check_values(x)
        return super().forward(x)

    def arguments(self) -> tuple[Tensor, ...]:
        return (self.v,)

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        work = full(x)
        shape, given = (-1, *[1] * self.dims), (weight, bias, *arguments)
        weight, bias, v = (one.to(work.dtype).view(shape) for one in given)
        return torch.addcmul(bias, weight, self.activate(work, v)).to(x.dtype)

    def deviation(self, variance: Tensor) -> Tensor:
        """Return sqrt(variance + ε), (N or 1, C), in a shape that broadcasts over the pixels."""
        return torch.sqrt(variance + self.eps).view(*variance.shape, *[1] * self.dims)


class EvoNormS0(_EvoNorm):
    """EvoNorm-S0-G: x·sigmoid(v·x) / std_G·γ + β, std_G of GN with G groups, per sample.

    At v = 1 a SiLU divided by the group's deviation, the same in training and eval. The authors
    use G = 32. For small batches, in place of GN and its activation.

    Args:
        groups: the number of channel groups, a divisor of `channels`.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: `groups` does not divide `channels`.
    """

    def __init__(self, channels: int, dims: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims, eps)
        self.spec_text, self.groups = f"EvoNorm-S0-{groups}", groups
        check_groups("EvoNorm-S0", channels, groups)

    def activate(self, x: Tensor, v: Tensor) -> Tensor:
        variance = x.reshape(x.shape[0], self.groups, -1).var(2, correction=0)
        variance = variance.repeat_interleave(self.channels // self.groups, 1)
        return x * torch.sigmoid(v * x) / self.deviation(variance)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        width = self.channels // self.groups
        return Recipe(((1, width),), function=SILU, arguments=(self.v,))


class EvoNormB0(_EvoNorm):
    """EvoNorm-B0: x / max(std_batch, v·x + std_instance)·γ + β.

    std_batch is over the batch and the pixels of a channel, in eval of the running variance
    (0.9·old + 0.1·batch, biased, from 1); std_instance is over the pixels, per sample and channel.
    No mean is subtracted and no explicit activation remains. For batches as large as BN needs.

    Shape: (N, C, *spatial) -> the same. One value per channel is no error: its deviation is 0.
    """

    spec_text = "EvoNorm-B0"
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps)
        self.momentum = momentum
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Reset to variance 1 and no tracked batch."""
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def activate(self, x: Tensor, v: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        batch = x.var((0, *axes), correction=0) if self.training else full(self.running_var)
        if self.training and self.tracks:
            update_running(self.momentum, self.num_batches_tracked, (self.running_var, batch))
        instance = v * x + self.deviation(x.var(axes, correction=0))
        return x / torch.maximum(self.deviation(batch[None]), instance)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        batches = self.num_batches_tracked if self.training else None
        no_mean = torch.zeros_like(self.running_var)
        running = Running(no_mean, self.running_var, batches, self.momentum)
        pools = (samples if self.training else 0, 1), (1, 1)
        return Recipe(pools, running=running, function=RATIO, arguments=(self.v,))
