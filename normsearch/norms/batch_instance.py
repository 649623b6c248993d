"""Batch-Instance Normalization (Nam and Kim, NeurIPS 2018), from the formula."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel, is_shared, pool_batch
from normsearch.norms.compiled import COMPLEMENT, Recipe
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
        return self._by_hand(moments, pixels)[0]

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        # By hand for GPUs, and for CPUs without a C compiler: it saves two dozen small operations.
        if self.training and is_shared(self.sync):
            return super().linearize(moments, pixels)  # the gradient involves other processes
        return self._by_hand(moments, pixels)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.training and is_shared(self.sync):
            return None
        block, running = self.batch_as_data(samples, pixels)
        return Recipe(((block, 1), (1, 1)), self.rho, gate=COMPLEMENT, running=running)

    def _by_hand(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        training, rho = self.training, self.rho
        batch = self._batch_moments(moments, pixels) if training else self.running()
        by_batch = torch.rsqrt(batch.variance + self.eps)
        by_instance = torch.rsqrt(moments.variance + self.eps)
        away, gated = moments.mean - batch.mean, rho * by_batch
        # IN centres each channel at its own mean, so its shift is 0.
        affine = Affine(by_instance + rho * (by_batch - by_instance), away * gated)

        def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor]]:
            d_scale, d_shift = gradient
            d_batch = torch.addcmul(d_scale, d_shift, away).sum(0)
            d_rho = (by_batch * d_batch).sub_((d_scale * by_instance).sum(0)).view(-1)
            d_instance = torch.addcmul(d_scale, rho, d_scale, value=-1)
            d_variance = by_instance.pow(3).mul_(d_instance).mul_(-0.5)
            d_mean = d_shift * gated
            if training:
                through = gated * by_batch.square() * d_batch / (-2 * len(away))
                d_variance += through
                d_mean = torch.addcmul(d_mean - d_mean.mean(0), away, through, value=2)
            return Moments(d_mean, d_variance), (d_rho,)

        return affine, pullback

    def _batch_moments(self, moments: Moments, pixels: int) -> Moments:
        batch, values = pool_batch(moments, pixels, self.sync)
        self.track(batch.mean, batch.variance * bessel(values, "BIN"))
        return batch

    def gates(self) -> list[nn.Parameter]:
        return [self.rho]

    @torch.no_grad()
    def clamp_gates(self) -> None:
        self.rho.clamp_(0, 1)

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        share = float(self.rho.mean())
        return {"rho": {"BN": share, "IN": 1 - share}}
