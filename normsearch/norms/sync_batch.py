"""Batch Normalization over the batch of all processes (MegDet, Peng et al., CVPR 2018)."""

from __future__ import annotations

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.compiled import Recipe
from normsearch.norms.moments import Affine, Moments, normalize


class SyncBatchNorm(RunningMomentNorm):
    """SyncBN: BN with the moments of all processes' samples, weighted by their counts.

    It works with any backend of torch.distributed, also gloo on CPUs (torch's SyncBatchNorm refuses
    CPU tensors). Without torch.distributed, or with one process, it is BN.

    Shape: (N, C, *spatial) -> the same; N and the pixels may differ between processes.

    Raises:
        NormError: in training, if a channel has one value over all processes.
    """

    spec_text = "SyncBN"
    sync = True

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        by = self.batch_moments(moments, pixels) if self.training else self.running()
        return normalize(moments, by, self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        return None if self.by_autograd_alone() else self.batch_recipe(samples, pixels)
