"""Switchable Normalization as in its authors' code, which differs from the paper's formula."""

from __future__ import annotations

import torch

from normsearch.errors import NormError
from normsearch.norms.moments import Moments
from normsearch.norms.switchable import Pools, SwitchableNorm


class OfficialSwitchableNorm(SwitchableNorm):
    """SN(official=true): SN, all branches with the unbiased variance of IN, never without BN.

    The running variance is initially 0, and a batch of one is no special case.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: one pixel, whose variance is then undefined.
    """

    spec_text, shared_text = "SN(official=true)", "SN(official=true,sync=true)"

    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        self.running_var.zero_()

    def by_autograd_alone(self) -> bool:
        return True  # neither the kernels nor the gradient by hand have the unbiased variance

    def pools(self, moments: Moments, pixels: int) -> Pools:
        if pixels < 2:
            raise NormError("SN(official=true) needs more than one pixel, got 1; use SN")
        unbiased = moments.variance * (pixels / (pixels - 1))
        return super().pools(Moments(moments.mean, unbiased), pixels)

    def with_batch(self, samples: int) -> bool | torch.Tensor:
        return True

    def _seen(self) -> bool | torch.Tensor:
        return True
