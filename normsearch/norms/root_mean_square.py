"""Root Mean Square Layer Normalization (Zhang and Sennrich, NeurIPS 2019, arXiv 1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import FormulaNorm, MomentNorm
from normsearch.norms.compiled import SQUARES, Recipe
from normsearch.norms.groups import check_groups, per_channel, pool_groups
from normsearch.norms.moments import Affine, Moments, full


class RootMeanSquareGroupNorm(MomentNorm):
    """RMSGN-G: x / sqrt(mean of x² + eps)·γ, the mean over s and each of G groups of channels.

    GN-G without centring, and without β, as in the paper: what a channel's mean says is kept. For
    small batches, where GN-G serves, and its centring is not wanted: means of activations that
    carry information, such as HU or behind a ReLU. Training and eval are the same.

    The formula is that of torch's RMSNorm. The paper's text was not at hand; it normalizes vectors,
    and groups of channels of an image are this project's extension of it.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: G does not divide C.
    """

    def __init__(self, channels: int, dims: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims, eps)
        check_groups("RMSGN", channels, groups)
        self.groups = groups
        self.spec_text = f"RMSGN-{groups}"
        del self.bias  # the formula has none
        self.fix_bias()

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        by = per_channel(pool_groups(moments, self.groups), self.channels)
        scale = torch.rsqrt(by.variance + by.mean.square() + self.eps)
        return Affine(scale, moments.mean * scale)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(((1, self.channels // self.groups),), by=SQUARES)


class RootMeanSquareNorm2d(FormulaNorm):
    """RMS2d: x / sqrt(mean of x² + 1e-6)·γ, the mean over the channels of each pixel.

    LN2d without centring and without β, as torch's and timm's RmsNorm2d. Training and eval are
    the same; batch 1 and one pixel are no special cases. The name is the same in 1D to 3D.

    eps is LN2d's; torch's own default is the resolution of the dtype.

    Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    spec_text = "RMS2d"

    def __init__(self, channels: int, dims: int, eps: float = 1e-6) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.fix_bias()

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        work = full(x)
        root = torch.rsqrt(work.square().mean(1, keepdim=True) + self.eps)
        return (work * root * full(weight).view(-1, *[1] * self.dims)).to(x.dtype)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(by=SQUARES, per_pixel=True)
