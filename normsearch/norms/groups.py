"""Moments of groups of channels, from the moments of the channels."""

from __future__ import annotations

import torch
from torch import Tensor

from normsearch.errors import NormError
from normsearch.norms.moments import Affine, Moments, pool


def check_groups(kind: str, channels: int, groups: int, name: str = "groups") -> None:
    """Raise NormError unless `groups` divides `channels`."""
    if channels % groups:
        raise NormError(f"{kind}: {name} must divide the {channels} channels, got {groups}")


def pool_groups(moments: Moments, groups: int) -> Moments:
    """Return the moments of G groups of neighbouring channels: (N, C) -> (N, G)."""
    shape = (moments.mean.shape[0], groups, -1)
    mean, variance = pool(Moments(*(values.reshape(shape) for values in moments)), 2)
    return Moments(mean.squeeze(2), variance.squeeze(2))


def per_channel(moments: Moments, channels: int) -> Moments:
    """Repeat each group's moments for each of its channels: (N, G) -> (N, C)."""
    return Moments(*(_repeat(values, channels) for values in moments))


def _repeat(values: Tensor, channels: int) -> Tensor:
    samples, groups = values.shape
    return values[:, :, None].expand(samples, groups, channels // groups).reshape(samples, channels)


def regroup(affine: Affine, moments: Moments, groups: int, eps: float) -> Affine:
    """Return the affine map of GN with `groups` groups after the map `affine`.

    The output of `affine` has mean `shift` and variance scale²·v per channel, which is all that the
    second normalization needs. `moments` are those of the input of `affine`.
    """
    variance = affine.scale.square() * moments.variance
    made = Moments(affine.shift.expand_as(variance), variance)
    by = per_channel(pool_groups(made, groups), moments.mean.shape[1])
    scale = torch.rsqrt(by.variance + eps)
    return Affine(affine.scale * scale, (affine.shift - by.mean) * scale)
