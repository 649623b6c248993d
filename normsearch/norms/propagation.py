"""Propagates means and variances through ReLU and convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from normsearch.norms.moments import Moments, full


def rectify(mean: Tensor, deviation: Tensor) -> Moments:
    """Return the moments of max(0, z) for Gaussian z.

    With a = mean / |deviation|, Φ and φ the standard normal distribution and density, and
    r(a) = a·Φ(a) + φ(a): mean |deviation|·r(a), variance deviation²·(Φ(a) − r(a)·r(−a)).
    Unlike E[z²] − E[z]², this form does not cancel for large |a|.

    Args:
        mean: of any shape.
        deviation: of the same shape; its sign does not matter.
    """
    mean, spread = full(mean), full(deviation).abs().clamp(min=1e-6)
    a = mean / spread
    density = torch.exp(-a.square() / 2) / math.sqrt(2 * math.pi)
    above, below = torch.special.ndtr(a), torch.special.ndtr(-a)
    upper, lower = a * above + density, density - a * below
    variance = (above - upper * lower).clamp(min=0)
    return Moments(spread * upper, spread.square() * variance)


def can_propagate(convolution: _ConvNd) -> bool:
    """Return whether `through_convolution` supports this convolution."""
    plain = convolution.groups == 1 and set(convolution.dilation) == {1}
    return plain or not isinstance(convolution, _ConvTransposeNd)


def through_convolution(moments: Moments, convolution: _ConvNd) -> Moments:
    """Return the moments of each output channel for independent inputs, away from the borders.

    A sum of w·x has the mean Σ w·mean (+ bias) and the variance Σ w²·variance. In a
    transposed convolution, output pixels at different offsets within a stride depend on different
    weights; their moments are pooled.

    Args:
        moments: of the input channels, (in,).
        convolution: one for which `can_propagate` holds; its weight gets a gradient.

    Returns:
        Moments of shape (1, out).
    """
    weight = _by_kind_of_pixel(convolution)  # (out, in / groups, weights, kinds)
    groups, each = convolution.groups, weight.shape[0] // convolution.groups
    mean, variance = (
        full(m).view(groups, -1).repeat_interleave(each, 0)[:, :, None, None] for m in moments
    )
    means = (weight * mean).sum((1, 2))  # (out, kinds)
    away = means - means.mean(1, keepdim=True)
    pooled = (weight.square() * variance).sum((1, 2)) + away.square()
    bias = 0.0 if convolution.bias is None else full(convolution.bias)
    return Moments((means.mean(1) + bias)[None], pooled.mean(1)[None])


def _by_kind_of_pixel(convolution: _ConvNd) -> Tensor:
    """Return (out, in / groups, weights per kind of pixel, kinds of pixel)."""
    weight = full(convolution.weight)
    if not isinstance(convolution, _ConvTransposeNd):
        return weight.flatten(2).unsqueeze(3)
    sides = list(zip(convolution.kernel_size, convolution.stride, strict=True))
    missing = [(0, -kernel % stride) for kernel, stride in reversed(sides)]
    weight = pad(weight.transpose(0, 1), [side for pair in missing for side in pair])
    for axis, (_, stride) in enumerate(sides):
        # The weight at k affects the pixels at k modulo the stride, the new last axis.
        weight = torch.unflatten(weight, 2 + axis, (-1, stride)).movedim(3 + axis, -1)
    return weight.flatten(2, 1 + len(sides)).flatten(3)
