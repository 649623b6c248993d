"""Instance-Batch Normalization (Pan et al., ECCV 2018, arXiv 1807.09441): IBN-a's layer."""

from __future__ import annotations

import torch
from torch import Tensor

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.compiled import COMPLEMENT, Recipe
from normsearch.norms.moments import Affine, Moments, normalize


class InstanceBatchNorm(RunningMomentNorm):
    """IBN: IN of the first half of the channels (rounded down), BN of the others; then γ and β.

    IN drops contrast and style, BN keeps them for the layers to come: for data of several scanners
    or sites, in the earlier layers. The authors use it for the first norm of a residual block, not
    in the last stage. With one channel it is BN.

    Running moments are those of BN, with unbiased variance, of all channels; eval uses those of
    the second half. Which half is which, the rounding and γ, β of both halves were checked against
    public copies of the authors' code.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: in training, where a channel has one value, as BN does.
    """

    spec_text = "IBN"
    by_instance: Tensor

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        share = (torch.arange(channels) < channels // 2).float()
        self.register_buffer("by_instance", share, persistent=False)

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        batch = self.batch_moments(moments, pixels) if self.training else self.running()
        first = self.by_instance > 0
        halves = zip(
            normalize(moments, moments, self.eps), normalize(moments, batch, self.eps), strict=True
        )
        return Affine(*(torch.where(first, instance, other) for instance, other in halves))

    def recipe(self, samples: int, pixels: int) -> Recipe:
        block, running = self.batch_as_data(samples, pixels)
        pools = (1, 1), (block, 1)
        return Recipe(pools, self.by_instance, gate=COMPLEMENT, running=running)
