"""Batch-Channel Normalization (Qiao et al., arXiv 1903.10520): BN, then GN."""

from __future__ import annotations

import torch
from torch import nn

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.compiled import Recipe
from normsearch.norms.groups import check_groups, regroup
from normsearch.norms.moments import Affine, Moments, normalize


class BatchChannelNorm(RunningMomentNorm):
    """BCN: GN-G of BN, each with its own weight and bias, in one pass over the pixels.

    `batch_weight` and `batch_bias` are BN's, `weight` and `bias` GN's; all are per channel (the
    authors' second pair is per group, which per channel contains). Running moments as BN's.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: G does not divide C; in training, where a channel has one value.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        groups: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        check_groups("BCN", channels, groups)
        self.groups = groups
        self.spec_text = f"BCN-{groups}"
        self.batch_weight = nn.Parameter(torch.ones(channels))
        self.batch_bias = nn.Parameter(torch.zeros(channels))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        batch = self.batch_moments(moments, pixels) if self.training else self.running()
        scale, shift = normalize(moments, batch, self.eps)
        inner = Affine(self.batch_weight * scale, self.batch_weight * shift + self.batch_bias)
        return regroup(inner, moments, self.groups, self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        block, running = self.batch_as_data(samples, pixels)
        return Recipe(
            pools=((block, 1),),
            shares=self.batch_weight,
            running=running,
            inner_bias=self.batch_bias,
            group=self.channels // self.groups,
        )
