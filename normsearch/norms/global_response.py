"""Global Response Normalization (Woo et al., CVPR 2023, arXiv 2301.00808), from the formula."""

from __future__ import annotations

import torch
from torch import nn

from normsearch.norms.base import MomentNorm
from normsearch.norms.compiled import RESPONSE, Recipe
from normsearch.norms.moments import Affine, Moments


class GlobalResponseNorm(MomentNorm):
    """GRN: y = x + γ·x·G_c/(mean_c G + eps) + β, G_c the L2 norm of channel c over its pixels.

    Channels compete: those that respond more than the mean channel of their sample are amplified.
    γ and β start at 0, so that it starts as the identity. It does not bring activations to a
    common scale, so it does not replace a norm where a deep network needs one. ConvNeXt V2 has it
    behind the activation, beside a norm; MedNeXt-v2 (arXiv 2512.17774) in 3D. It has no running
    statistics: training and eval are the same, also at batch 1. A channel that is 0 everywhere has
    the gradient of x + β.

    Formula, eps = 1e-6 beside the mean and the start at 0 were checked against public code of
    ConvNeXt V2; the 3D paper was not at hand.

    Shape: (N, C, *spatial) -> the same.
    """

    spec_text = "GRN"
    residual = True

    def __init__(self, channels: int, dims: int, eps: float = 1e-6) -> None:
        super().__init__(channels, dims, eps)
        nn.init.zeros_(self.weight)

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        squares = moments.variance + moments.mean.square()
        # The square root has no gradient at 0.
        response = torch.sqrt(pixels * squares.clamp_min(torch.finfo(squares.dtype).tiny))
        scale = response / (response.mean(1, keepdim=True) + self.eps)
        return Affine(scale, moments.mean * scale)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(((1, self.channels),), by=RESPONSE)

    def affine_parameters(self) -> list[nn.Parameter]:
        """Return β alone: with γ fixed at 0 there would be no norm."""
        return [self.bias]
