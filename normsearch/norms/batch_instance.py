"""Batch-Instance Normalization (Nam and Kim, NeurIPS 2018), from the formula."""

from __future__ import annotations

import torch
from torch import nn

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.compiled import COMPLEMENT, Recipe
from normsearch.norms.mixtures import mix_with_instance, through_gates
from normsearch.norms.moments import Affine, Moments, Pullback


class BatchInstanceNorm(RunningMomentNorm):
    """BIN: y = (ρ·BN(x) + (1 − ρ)·IN(x))·γ + β, with ρ of shape (C,) from 1, kept in [0, 1].

    Eval uses running moments for BN and the input's own for IN. The running variance is the
    unbiased one, as in torch's BatchNorm, so that ρ = 1 is BN in training and in eval.

    Args:
        sync: BN over the batch of all processes of torch.distributed, weighted by their counts.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: in training, where a channel has one value (batch 1, one pixel), as BN does.
    """

    spec_text = "BIN"

    def __init__(
        self,
        channels: int,
        dims: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        sync: bool = False,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.sync = sync
        if sync:
            self.spec_text = "BIN(sync=true)"
        self.rho = nn.Parameter(torch.ones(channels))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        batch = self.batch_moments(moments, pixels) if self.training else self.running()
        return mix_with_instance(moments, batch, 1 - self.rho, None, self.eps)[0]

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.by_autograd_alone():
            return None
        block, running = self.batch_as_data(samples, pixels)
        return Recipe(((block, 1), (1, 1)), self.rho, gate=COMPLEMENT, running=running)

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        if self.by_autograd_alone():
            return super().linearize(moments, pixels)
        batch = self.batch_moments(moments, pixels) if self.training else self.running()
        axis = 0 if self.training else None
        made = mix_with_instance(moments, batch, 1 - self.rho, axis, self.eps)
        return through_gates(made, lambda d_share: (-d_share,))

    def gates(self) -> list[nn.Parameter]:
        return [self.rho]

    @torch.no_grad()
    def clamp_gates(self) -> None:
        self.rho.clamp_(0, 1)

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        share = float(self.rho.mean())
        return {"rho": {"BN": share, "IN": 1 - share}}
