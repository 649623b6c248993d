"""Parametrizations of a convolution's weight: Weight Standardization, centring."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.norms.moments import full


class StandardizedWeight(nn.Module):
    """WS: (W − mean) / sqrt(var + eps) over each output channel's weights, with biased variance.

    Args:
        axis: the weight's output axis.
    """

    def __init__(self, axis: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.axis = axis
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        work = full(weight)
        axes = [axis for axis in range(work.dim()) if axis != self.axis]
        variance, mean = torch.var_mean(work, axes, correction=0, keepdim=True)
        return ((work - mean) * torch.rsqrt(variance + self.eps)).to(weight.dtype)


class CentredWeight(nn.Module):
    """W − mean over each output channel's weights, which MABN needs.

    Args:
        axis: the weight's output axis.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        axes = [axis for axis in range(weight.dim()) if axis != self.axis]
        return weight - weight.mean(axes, keepdim=True)
