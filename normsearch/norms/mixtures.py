"""Mixtures of normalizations, as BIN, ILN and SN have them, and their gradients by hand.

They are for torch's path, on GPUs and on CPUs without a C compiler: autograd takes two dozen small
operations more, which cost as much as the pixels of a small map. The kernels in C and in Triton
follow recipes instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from normsearch.norms.moments import Affine, Moments, Pullback

# From the gradient of an affine map to those of the moments and of the shares.
ToShares: TypeAlias = Callable[[Affine], tuple[Moments, Tensor]]


def mix_with_instance(
    moments: Moments, pooled: Moments, share: Tensor, axis: int | None, eps: float
) -> tuple[Affine, ToShares]:
    """Return share·IN + (1 − share)·a norm by pooled moments, and its pullback.

    Args:
        moments: of IN, (N, C).
        pooled: (1, C) or (N, 1).
        share: (C,) or (1,).
        axis: that over which `moments` were pooled; None: the pooled ones have no gradient.
        eps: added to variances.
    """
    rest = 1 - share
    by_pooled = torch.rsqrt(pooled.variance + eps)
    by_instance = torch.rsqrt(moments.variance + eps)
    away, gated = moments.mean - pooled.mean, rest * by_pooled
    # IN centres each channel at its own mean, so its shift is 0.
    affine = Affine(torch.addcmul(gated, by_instance, share), away * gated)

    def pullback(gradient: Affine) -> tuple[Moments, Tensor]:
        d_scale, d_shift = gradient
        d_pooled = torch.addcmul(d_scale, d_shift, away)
        d_share = torch.addcmul(d_scale * by_instance, d_pooled, by_pooled, value=-1)
        d_variance = by_instance.pow(3) * d_scale * (-0.5 * share)
        d_mean = d_shift * gated
        if axis is not None:
            through = (gated * d_pooled).sum(axis, keepdim=True) * by_pooled.square()
            through *= -0.5 / away.shape[axis]
            d_variance += through
            d_mean -= d_mean.mean(axis, keepdim=True)
            d_mean.addcmul_(away, through, value=2)
        return Moments(d_mean, d_variance), d_share.sum_to_size(share.shape)

    return affine, pullback


def mix_moments(
    pools: tuple[Moments, Moments, Moments], shares: Tensor, through: int, eps: float
) -> tuple[Affine, ToShares]:
    """Return the norm by mixed moments, and its pullback to the first of them and the shares.

    Args:
        pools: moments of IN, (N, C), of LN, (N, 1), and of BN, (1, C).
        shares: the weights of means and of variances, (2, 3).
        through: 2, or 1 where the gradient goes through LN's moments alone.
        eps: added to variances.
    """
    mean = pools[0].mean
    means, variances = (
        [values.expand_as(mean) for values in three] for three in zip(*pools, strict=True)
    )
    distances = mean - torch.stack(means)  # from the means of IN (its own), LN and BN
    parts = torch.cat((distances, *(values[None] for values in variances)))
    parts = parts.view(2, 3, *mean.shape)
    weights = shares[..., None, None]
    away, mixed = (parts * weights).sum(1)
    scale = torch.rsqrt(mixed + eps)

    def pullback(gradient: Affine) -> tuple[Moments, Tensor]:
        d_away = gradient.shift * scale
        d_mixed = torch.addcmul(gradient.scale, gradient.shift, away) * scale.pow(3) * -0.5
        both = torch.stack((d_away, d_mixed))
        # Through the moments of LN, over channels, and of BN, over samples.
        pooled = [
            weights[:, k] * both.mean(axis, keepdim=True) for k, axis in ((1, 2), (2, 1))[:through]
        ]
        total = torch.addcmul(pooled[0], weights[:, 0], both)
        for part in pooled[1:]:
            total += part
        d_mean = d_away - total[0]
        for distance, part in zip(distances[1:], pooled, strict=False):
            d_mean.addcmul_(distance, part[1], value=2)
        return Moments(d_mean, total[1]), (parts * both[:, None]).sum((2, 3))

    return Affine(scale, away * scale), pullback


def regroup_mixed(
    made: tuple[Affine, ToShares], variance: Tensor, groups: int, eps: float
) -> tuple[Affine, ToShares]:
    """Return `groups.regroup` after a mixture of moments with `variance`, (N, C), and its pullback.

    A channel of the mixture has the mean `shift` and the variance scale²·v.
    """
    mixed, pull_mixed = made
    shape = (variance.shape[0], groups, -1)
    scale, shift, spread = (values.view(shape) for values in (*mixed, variance))
    away = shift - shift.mean(2, keepdim=True)
    scaled = scale * spread
    squares = torch.addcmul(away.square(), scale, scaled)
    by_group = torch.rsqrt(squares.mean(2, keepdim=True) + eps)
    affine = Affine((scale * by_group).flatten(1), (away * by_group).flatten(1))

    def pullback(gradient: Affine) -> tuple[Moments, Tensor]:
        d_scale, d_shift = (values.view(shape) for values in gradient)
        d_group = torch.addcmul(d_scale * scale, d_shift, away).sum(2, keepdim=True)
        through = by_group.pow(3) * d_group / -scale.shape[2]  # 2·d(mean of squares)/K
        d_away = torch.addcmul(d_shift * by_group, away, through)
        d_away -= d_away.mean(2, keepdim=True)
        d_scale = torch.addcmul(d_scale * by_group, scaled, through)
        (d_mean, d_variance), d_share = pull_mixed(Affine(d_scale.flatten(1), d_away.flatten(1)))
        d_variance += ((0.5 * through) * scale.square()).flatten(1)
        return Moments(d_mean, d_variance), d_share

    return affine, pullback


def through_gates(
    made: tuple[Affine, ToShares], pull_gates: Callable[[Tensor], tuple[Tensor | None, ...]]
) -> tuple[Affine, Pullback]:
    """Return a mixture whose pullback goes on from the shares to the gates."""
    affine, pull_mixed = made

    def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor | None, ...]]:
        d_moments, d_shares = pull_mixed(gradient)
        return d_moments, pull_gates(d_shares)

    return affine, pullback
