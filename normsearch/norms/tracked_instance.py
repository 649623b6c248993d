"""Instance Normalization with running statistics (Ulyanov et al. 2016, arXiv 1607.08022)."""

from __future__ import annotations

import torch

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.compiled import Recipe, Running
from normsearch.norms.moments import Affine, Moments, normalize


class TrackedInstanceNorm(RunningMomentNorm):
    """IN(track=true): IN in training, the running moments in eval, as torch's track_running_stats.

    The running moments are 0.9·old + 0.1·the mean over the batch of the samples' own means and
    unbiased variances. Eval then treats every tile and every image alike: for predictions by
    tiles, where IN leaves seams, and for batches of one in training. As with BN at batch 1,
    training and eval differ; compare with GN and BRN. State dicts have the keys of torch's module.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: one pixel, in training.
    """

    spec_text = "IN(track=true)"

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if not self.training:
            return normalize(moments, self.running(), self.eps)
        unbias = self._unbias(pixels)
        self.track(moments.mean.mean(0), moments.variance.mean(0) * unbias)
        # A channel's distance from its own mean is 0.
        scale = torch.rsqrt(moments.variance + self.eps)
        return Affine(scale, torch.zeros_like(scale))

    def recipe(self, samples: int, pixels: int) -> Recipe:
        if not self.training:
            return Recipe(((0, 1),), running=Running.of(self))
        running = Running.of(self, self._unbias(pixels), apart=True)
        return Recipe(((1, 1),), running=running)

    def _unbias(self, pixels: int) -> float:
        if pixels < 2:
            raise NormError(
                f"{self.spec_text} needs more than 1 pixel in training, got 1; "
                "use a larger input, or GN"
            )
        return pixels / (pixels - 1)
