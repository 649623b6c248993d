"""Local Response Normalization (Krizhevsky et al., NeurIPS 2012, Sect. 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import NormError
from normsearch.norms.base import FormulaNorm
from normsearch.norms.compiled import NEIGHBOURS, Recipe
from normsearch.norms.moments import full

OVER = ("channels", "space")
_AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class LocalResponseNorm(FormulaNorm):
    """LRN: y = x / (k + α·mean of x² over the neighbours)^β; it has no parameters.

    The neighbours are the `size` channels around a value's channel or, over space, the `size`^dims
    pixels around it; values outside the tensor count as 0. The mean follows torch. The paper
    multiplies the sum over n = 5 channels by 1e-4, so α = 5e-4 here; k = 2 and β = 0.75 as there.

    Args:
        over: "channels" or "space".

    Shape: (N, C, *spatial) -> the same, in the input's dtype; squares are taken in float32 at
    least. Training and eval are the same; batch 1 and one pixel are no special cases.

    Raises:
        NormError: unknown `over`.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        over: str = "channels",
        size: int = 5,
        alpha: float = 5e-4,
        beta: float = 0.75,
        k: float = 2.0,
    ) -> None:
        super().__init__(channels, dims)
        if over not in OVER:
            raise NormError(f"LRN: over must be one of {', '.join(OVER)}, got {over!r}")
        self.over = over
        self.size = size
        self.alpha, self.beta, self.k = alpha, beta, k
        # The kernels take α^−β out of the power: x·α^−β / (mean of x² + k/α)^β.
        self.in_kernels = over == "channels" and size % 2 == 1 and beta == 0.75 and alpha > 0
        self.eps, factor = (k / alpha, alpha**-beta) if self.in_kernels else (0.0, 1.0)
        self.register_buffer("weight", torch.full((channels,), factor), persistent=False)
        self.fix_bias()
        self.spec_text = "LRN" if over == "channels" else "LRN(over=space)"

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        return Recipe(by=NEIGHBOURS, per_pixel=True, group=self.size) if self.in_kernels else None

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        work = full(x)
        mean = self._across(work) if self.over == "channels" else self._within(work)
        return (work * (self.k + self.alpha * mean).pow(-self.beta)).to(x.dtype)

    def _across(self, x: Tensor) -> Tensor:
        before = self.size // 2
        squares = x.square().movedim(1, -1).flatten(1, -2)  # (N, pixels, C)
        padded = functional.pad(squares, (before, self.size - 1 - before))
        mean = functional.avg_pool1d(padded, self.size, 1)
        return mean.reshape(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)

    def _within(self, x: Tensor) -> Tensor:
        before = self.size // 2
        squares = functional.pad(x.square(), (before, self.size - 1 - before) * self.dims)
        mean: Tensor = _AVERAGE[self.dims](squares, self.size, 1)
        return mean
