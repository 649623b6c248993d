"""Layer Normalization of each pixel over its channels, as in ConvNeXt (arXiv 2201.03545)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from normsearch.norms.base import FormulaNorm, by_pixels
from normsearch.norms.compiled import Recipe
from normsearch.norms.moments import full


class PixelLayerNorm(FormulaNorm):
    """LN2d: (x − μ)/sqrt(σ² + 1e-6)·γ + β, moments over the channels of each pixel.

    What ConvNeXt and timm call LayerNorm (LayerNorm2d), and Keras' default LayerNormalization. The
    spec LN is over channels and pixels (Ba et al. 2016, arXiv 1607.06450). LN2d keeps nothing of
    how strong a pixel is in comparison with others: for networks with depthwise convolutions and
    few norms, or where tiles of an image must give what the whole gives. Training and eval are the
    same; batch 1 and one pixel are no special cases. The name is the same in 1D to 3D.

    eps = 1e-6 is that of public code of ConvNeXt.

    Shape: (N, C, *spatial) -> the same, in the input's dtype. C is 2 or more.
    """

    spec_text = "LN2d"

    def __init__(self, channels: int, dims: int, eps: float = 1e-6) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        shape, given = (self.channels,), (full(weight), full(bias))
        return by_pixels(
            x, lambda last: layer_norm(full(last), shape, *given, self.eps).to(x.dtype)
        )

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(per_pixel=True)
