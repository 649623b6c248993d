"""Filter Response Normalization and its thresholded linear unit (Singh and Krishnan, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import MomentNorm, OwnsActivation
from normsearch.norms.compiled import CUT, SQUARES, Recipe
from normsearch.norms.moments import Affine, Moments

EPS = ("fixed", "learnt")


class FilterResponseNorm(OwnsActivation, MomentNorm):
    """FRN: max(γ·x / sqrt(ν² + ε) + β, τ), ν² the mean of x² over s, per sample and channel.

    The maximum is the thresholded linear unit, TLU, with one τ per channel; it takes the place of
    the activation. No mean is subtracted, and no other sample is looked at, so that batch 1 is no
    special case. For small batches, also in detection and segmentation.

    γ starts at 1, β and τ at 0, which is a ReLU. ε is 1e-6, or 1e-6 + abs(e) with a learnt scalar e
    from 1e-4: at one pixel x / sqrt(x²) is a sign, and the learnt ε makes it a smooth step.

    Source: arXiv 1911.09737. Formula, ε, initial values and one e a layer were checked against
    TensorFlow Addons (FilterResponseNormalization, TLU), not the paper.

    Args:
        eps: "fixed" or "learnt"; learnt is meant for layers of one pixel.

    Shape: (N, C, *spatial) -> the same. Training and eval are the same.

    Raises:
        NormError: unknown `eps`.
    """

    def __init__(self, channels: int, dims: int, eps: str = "fixed") -> None:
        super().__init__(channels, dims, eps=1e-6)
        if eps not in EPS:
            raise NormError(f"FRN: eps must be one of {', '.join(EPS)}, got {eps!r}")
        self.spec_text = "FRN" if eps == "fixed" else "FRN(eps=learnt)"
        self.threshold = nn.Parameter(torch.zeros(channels))
        self.learnt_eps = nn.Parameter(torch.tensor(1e-4)) if eps == "learnt" else None

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        square = torch.addcmul(moments.variance, moments.mean, moments.mean)
        more = 0.0 if self.learnt_eps is None else self.learnt_eps.abs()
        scale = torch.rsqrt(square + (self.eps + more))
        return Affine(scale, moments.mean * scale)

    def extra_inputs(self) -> list[Tensor]:
        return [] if self.learnt_eps is None else [self.learnt_eps]

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.learnt_eps is not None:
            return None
        return Recipe(((1, 1),), by=SQUARES, function=CUT, arguments=(self.threshold,))

    def by_torch(self, x: Tensor, pixels: int) -> Tensor:
        y = super().by_torch(x, pixels)
        threshold = self.threshold.to(x.dtype).reshape(1, -1, *[1] * self.dims)
        return torch.where(y <= threshold, threshold, y)
