"""Norms without statistics: Dynamic Tanh (arXiv 2503.10622) and Dynamic Erf (arXiv 2512.10938)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.base import FormulaNorm
from normsearch.norms.compiled import ERF, TANH, Recipe
from normsearch.norms.moments import full


class DynamicTanh(FormulaNorm):
    """DyT: γ·tanh(α·x) + β, one α a layer, from 0.5 (Zhu et al., CVPR 2025).

    It bounds activations by γ and computes no statistics, so each value is normalized by itself:
    nothing depends on the batch, on other pixels or on other channels, and training and eval are
    the same. The authors replace LayerNorm in transformers by it; behind convolutions they found
    it worse than BatchNorm (from memory, not checked), so compare. Large inputs saturate: keep the
    learning rate and the scale of the input in mind.

    Formula and start were checked against public code; the paper was not at hand.

    Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    spec_text = "DyT"
    eps = 0.0  # it has none

    def __init__(self, channels: int, dims: int, alpha: float = 0.5) -> None:
        super().__init__(channels, dims)
        self.alpha = nn.Parameter(torch.full((1,), alpha))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        weight, bias = (full(values).reshape(-1, *[1] * self.dims) for values in (weight, bias))
        return torch.addcmul(bias, self.bounded(full(x), *map(full, arguments)), weight).to(x.dtype)

    def bounded(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return tanh(α·x)."""
        return torch.tanh(alpha * x)

    def arguments(self) -> tuple[Tensor, ...]:
        return (self.alpha,)

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(function=TANH, arguments=self.arguments())

    def affine_parameters(self) -> list[nn.Parameter]:
        """Return γ and β, without α."""
        return [self.weight, self.bias]


class DynamicErf(DynamicTanh):
    """Derf: γ·erf(α·x + s) + β, one α (from 0.5) and one s (from 0) a layer (Chen et al. 2025).

    As DyT, with a function that the authors found to serve better in transformers. The formula was
    checked against the abstract, the start values against public code that follows theirs; the
    paper's text was not at hand.

    Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    spec_text = "Derf"

    def __init__(self, channels: int, dims: int, alpha: float = 0.5) -> None:
        super().__init__(channels, dims, alpha)
        self.shift = nn.Parameter(torch.zeros(1))

    def bounded(self, x: Tensor, alpha: Tensor, *shift: Tensor) -> Tensor:
        """Return erf(α·x + s)."""
        return torch.erf(torch.addcmul(shift[0], alpha, x))

    def arguments(self) -> tuple[Tensor, ...]:
        return self.alpha, self.shift

    def recipe(self, samples: int, pixels: int) -> Recipe:
        return Recipe(function=ERF, arguments=self.arguments())
