"""Batch Renormalization (Ioffe, NeurIPS 2017), from the formula."""

from __future__ import annotations

import torch
from torch import Tensor

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe
from normsearch.norms.moments import Affine, Moments, normalize, pool
from normsearch.norms.options import decimal_text

# The paper opens the limits from step 5,000 to 25,000 (d) and 40,000 (r). With its run counted as
# 160,000 steps, the limits are fully open after a quarter of any run.
_BEGIN, _D_END, _R_END = 1 / 32, 5 / 32, 8 / 32


class BatchRenorm(RunningMomentNorm):
    """BRN: x̂ = (x − μB)/σB · r + d, with r = σB/σ in [1/rmax, rmax], d = (μB − μ)/σ in ±dmax.

    μ and σ = sqrt(V + eps) are the running moments before this batch; no gradient goes through r
    and d. The limits grow from (1, 0), which is BN, to (rmax, dmax) with the progress given to
    `set_progress`: they are (1, 0) for the first 1/32 of training and fully open at 5/32 (d) and
    8/32 (r), the paper's schedule scaled to the run. Without a call of `set_progress` they are
    fully open. Until a batch is tracked, r is 1 and d is 0. Eval is that of BN.

    Under gradient checkpointing (torch.utils.checkpoint) the forward pass runs again before the
    backward pass. The running moments then move twice, as those of torch's BatchNorm do, and the
    gradient is that of the second pass, whose r and d differ: leave BRN out of such a part.

    (3, 5) are the paper's final limits. (1.5, 0.5), limits=tight in a spec, are those of the GN
    paper, which found them to work best for ResNet-50 and compared at batch 4 (arXiv 1803.08494,
    Sect. 4.1; checked against its text, which does not say when they open).

    Args:
        rmax: the final limit of r, 1 or more.
        dmax: the final limit of d, 0 or more.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: in training, where a channel has one value.
    """

    progress: Tensor

    def __init__(
        self,
        channels: int,
        dims: int,
        rmax: float = 3.0,
        dmax: float = 5.0,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.rmax = rmax
        self.dmax = dmax
        given = "" if (rmax, dmax) == (3, 5) else f"(d={decimal_text(dmax)},r={decimal_text(rmax)})"
        self.spec_text = f"BRN{given}"
        # A tensor, so that a compiled training step is not recompiled for each value.
        self.register_buffer("progress", torch.tensor(1.0), persistent=False)

    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, 0 to 1."""
        self.progress.fill_(fraction)

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return the current limits of r and d, 0-dim."""
        r_share, d_share = (
            ((self.progress - _BEGIN) / (end - _BEGIN)).clamp(0, 1) for end in (_R_END, _D_END)
        )
        return 1 + (self.rmax - 1) * r_share, self.dmax * d_share

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if not self.training:
            return normalize(moments, self.running(), self.eps)
        unbias = bessel(len(moments.mean) * pixels, self.spec_text)
        batch = pool(moments, 0)
        r, d = self._correction(batch)
        self.track(batch.mean, batch.variance * unbias)
        scale, shift = normalize(moments, batch, self.eps)
        return Affine(scale * r, shift * r + d)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        if not self.training:
            return self.batch_recipe(samples, pixels)
        block, running = self.batch_as_data(samples, pixels)
        r, d = torch.empty_like(running.mean), torch.empty_like(running.mean)
        # Limits that are open, as they mostly are, need no small operations on tensors.
        opening = bool(self.progress < max(_R_END, _D_END))
        rmax, dmax = map(float, self.limits()) if opening else (self.rmax, self.dmax)
        limits = rmax, dmax
        return Recipe(((block, 1),), r, running=running, inner_bias=d, limits=limits)

    @torch.no_grad()
    def _correction(self, batch: Moments) -> tuple[Tensor, Tensor]:
        """Return the paper's r and d, (1, C)."""
        rmax, dmax = self.limits()
        mean, variance = self.running()
        deviation = torch.sqrt(variance + self.eps)
        r = (torch.sqrt(batch.variance + self.eps) / deviation).clamp(1 / rmax, rmax)
        d = ((batch.mean - mean) / deviation).clamp(-dmax, dmax)
        seen = self.num_batches_tracked > 0
        return torch.where(seen, r, 1.0), torch.where(seen, d, 0.0)
