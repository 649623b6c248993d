"""Batch Group Normalization (Zhou et al., arXiv 2012.02782), from the formula."""

from __future__ import annotations

import torch

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe, Running
from normsearch.norms.groups import check_groups, per_channel, pool_groups
from normsearch.norms.moments import Affine, Moments, normalize, pool


class BatchGroupNorm(RunningMomentNorm):
    """BGN: moments over the batch and one of G parts of the flattened channels and pixels.

    With G dividing C a part is C/G neighbouring channels, and this is BatchNorm1d(G) on
    x.view(N, G, -1), but for weight and bias, which are per channel. G must divide C:
    otherwise the groups would depend on the input's size. BGN-C is BN. Running moments are per
    group, (G,), with unbiased variance.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: G does not divide C; in training, where a group has one value.
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
        check_groups("BGN", channels, groups)
        self.groups = groups
        self.spec_text = f"BGN-{groups}"
        self.register_buffer("running_mean", torch.zeros(groups))
        self.register_buffer("running_var", torch.ones(groups))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        by = self._batch_moments(moments, pixels) if self.training else self.running()
        return normalize(moments, per_channel(by, self.channels), self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        width = self.channels // self.groups
        if not self.training:
            return Recipe(((0, width),), running=Running.of(self))
        running = Running.of(self, self._unbias(samples, pixels), width)
        return Recipe(((samples, width),), running=running)

    def _batch_moments(self, moments: Moments, pixels: int) -> Moments:
        batch = pool_groups(pool(moments, 0), self.groups)
        self.track(batch.mean, batch.variance * self._unbias(len(moments.mean), pixels))
        return batch

    def _unbias(self, samples: int, pixels: int) -> float:
        values = samples * pixels * (self.channels // self.groups)
        return bessel(values, self.spec_text, "group")
