"""The generalization of Batch and Group Normalization by Summers and Dinneen (ICLR 2020)."""

from __future__ import annotations

import torch

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe, Running
from normsearch.norms.groups import check_groups, per_channel, pool_groups
from normsearch.norms.moments import Affine, Moments, normalize, pool


class GhostBatchGroupNorm(RunningMomentNorm):
    """GBGN-SxG: moments over S neighbouring samples, one of G groups of channels, and space.

    S = 1 is GN-G and G = C is Ghost BN; G = C with S = N is BN, apart from the decay. If S does not
    divide the batch, the remaining samples form one smaller group; a batch below S is one group.

    Running moments are per channel over the whole batch, with decay 0.99 and biased variance; eval
    pools them over each group of channels. With S = 1, eval uses the sample's own moments, as GN
    does (in the authors' code this is an option).

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: G does not divide C; in training with S > 1, where a group has one value.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        samples: int,
        groups: int,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        check_groups("GBGN", channels, groups)
        self.samples = samples
        self.groups = groups
        self.spec_text = f"GBGN-{samples}x{groups}"

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if self.samples == 1:
            by = pool_groups(moments, self.groups)
        elif self.training:
            by = self._batch_moments(moments, pixels)
        else:
            by = pool_groups(self.running(), self.groups)
        return normalize(moments, per_channel(by, self.channels), self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        width = self.channels // self.groups
        if self.samples == 1:
            return Recipe(((1, width),))
        if not self.training:
            moments = pool_groups(self.running(), self.groups)
            return Recipe(((0, width),), running=Running(*moments))
        self._check(samples, pixels)
        return Recipe(((self.samples, width),), running=Running.of(self))

    def _batch_moments(self, moments: Moments, pixels: int) -> Moments:
        """Return the moments of each sample's group and each group of channels, (N, G)."""
        batch = len(moments.mean)
        self._check(batch, pixels)
        self.track(*pool(moments, 0))
        by_sample = pool_groups(moments, self.groups)
        whole = batch - batch % self.samples
        parts = [
            _pool_samples(Moments(*(values[start:stop] for values in by_sample)), size)
            for start, stop, size in ((0, whole, self.samples), (whole, batch, batch - whole))
            if stop > start
        ]
        return parts[0] if len(parts) == 1 else Moments(*map(torch.cat, zip(*parts, strict=True)))

    def _check(self, samples: int, pixels: int) -> None:
        width = self.channels // self.groups
        bessel(min(samples, self.samples) * pixels * width, self.spec_text, "group")


def _pool_samples(moments: Moments, size: int) -> Moments:
    """Pool every `size` neighbouring samples of (N, G); `size` divides N."""
    samples, groups = moments.mean.shape
    pooled = pool(Moments(*(values.reshape(-1, size, groups) for values in moments)), 1)
    mean, variance = (values.expand(-1, size, -1).reshape(samples, groups) for values in pooled)
    return Moments(mean, variance)
