"""Moments of groups of channels, out of the moments of their channels."""

from __future__ import annotations

import torch
from torch import Tensor

from normsearch.norms.moments import Affine, Moments, pool


def pool_groups(moments: Moments, groups: int) -> Moments:
    """(N, C) -> (N, G): the moments of G groups of neighbouring channels."""
    shape = (moments.mean.shape[0], groups, -1)
    mean, variance = pool(Moments(*(values.reshape(shape) for values in moments)), 2)
    return Moments(mean.squeeze(2), variance.squeeze(2))


def per_channel(moments: Moments, channels: int) -> Moments:
    """(N, G) -> (N, C): each group's moments at each of its channels."""
    return Moments(*(_repeat(values, channels) for values in moments))


def _repeat(values: Tensor, channels: int) -> Tensor:
    samples, groups = values.shape
    return values[:, :, None].expand(samples, groups, channels // groups).reshape(samples, channels)


def regroup(affine: Affine, moments: Moments, groups: int, eps: float) -> Affine:
    """The affine map of GN with `groups` groups after the map `affine`, on input of `moments`.

    What `affine` makes has per channel the mean `shift` and the variance scale²·v: that is all
    that a second normalization asks for.
    """
    variance = affine.scale.square() * moments.variance
    made = Moments(affine.shift.expand_as(variance), variance)
    by = per_channel(pool_groups(made, groups), moments.mean.shape[1])
    scale = torch.rsqrt(by.variance + eps)
    return Affine(affine.scale * scale, (affine.shift - by.mean) * scale)
