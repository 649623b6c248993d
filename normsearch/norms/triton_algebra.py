"""Triton kernels: the algebra of a recipe on (N, C) numbers, one program each way.

The program holds all N·C rows (one sample and one channel each) as a tile of four axes: A parts of
`part` samples, and G groups of `width` channels, each axis padded to a power of two: SHAPE.
A pool of samples and channels is a sum over some of these axes: AXES has a bit for each of A, S, G
and W (1, 2, 4, 8), and is −1 for given moments. Means are float64, as they may be far larger than
their differences; all else is float32. kernels_algebra.h is the same in C.

Tuples keep the signatures short:
    sizes: samples, channels, part, width.
    at: of each row, its sample, channel, and whether it exists.
    given: pointers to given means and variances.
    mixing: pointers to shares, variance shares and the count of tracked batches.
    PLAN: AXES of each pool; gate (0, 1, 2: AS_THEY_ARE, COMPLEMENT, SOFTMAX); 1 if there is a share
        for each channel; channels of a given moment; SHAPE; AXES of the second norm (−1: none).
"""

from __future__ import annotations

from normsearch.norms.triton_passes import (
    block_size,
    block_sum,
    by_channel,
    jit,
    mean_of,
    merge,
    pool,
    pool_weight,
    read,
    rows_of,
    track,
)

try:
    from triton import language as tl
except ModuleNotFoundError as missing:  # as in triton_passes.py
    if missing.name != "triton":
        raise


@jit
def _look(moments, given, at, sizes, K: tl.constexpr, PLAN: tl.constexpr):
    """Return each row's mean minus that of pool K, and the pool's variance."""
    SHAPE: tl.constexpr = PLAN[4]
    AXES: tl.constexpr = PLAN[0][K]
    if AXES < 0:
        index = at[1] // PLAN[3]
        away = (moments[0] - read(given[0], index, at[2]).to(tl.float64)).to(tl.float32)
        spread = read(given[1], index, at[2])
    else:
        _, away, spread = pool(*moments, at, sizes, AXES, SHAPE)
    return away, spread


@jit
def _share(mixing, at, K: tl.constexpr, PLAN: tl.constexpr):
    """Return the share of one pool's mean or, where outputs are mixed, of its output."""
    if mixing[1] is not None:
        share = at[1] * 0 + pool_weight(mixing[0], mixing[2], K, PLAN)
    elif mixing[0] is None:
        share = at[1] * 0 + 1.0
    else:
        share = read(mixing[0], at[1] * PLAN[2], at[2])
        if PLAN[1] == 1 and K == 1:
            share = 1 - share
    return share


@jit
def _mix(moments, given, mixing, inner_bias, at, sizes, eps, PLAN: tl.constexpr):
    """Return scale and shift of the mixture, scale·(x − mean of the row) + shift."""
    scale, shift = moments[1] * 0, moments[1] * 0
    for k in tl.static_range(len(PLAN[0])):
        away, spread = _look(moments, given, at, sizes, k, PLAN)
        share = _share(mixing, at, k, PLAN)
        if mixing[1] is None:
            share *= tl.rsqrt(spread + eps)
            scale += share
        else:
            scale += pool_weight(mixing[1], mixing[2], k, PLAN) * spread
        shift += share * away
    if mixing[1] is not None:
        scale = tl.rsqrt(scale + eps)
        shift *= scale
    if inner_bias is not None:
        shift += read(inner_bias, at[1], at[2])
    return scale, shift


@jit
def _regroup(mixture, variance, at, sizes, eps, PLAN: tl.constexpr):
    """Return shift minus its group's mean, and 1/sqrt(variance + eps) of the group.

    A row of the mixture has the mean `shift` and the variance scale²·variance.
    """
    SHAPE: tl.constexpr = PLAN[4]
    GROUP: tl.constexpr = PLAN[5]
    scale, shift = mixture
    shift = tl.where(at[2], shift, 0.0)
    _, away, spread = pool(shift, scale * scale * variance, at, sizes, GROUP, SHAPE)
    return away, tl.rsqrt(spread + eps)


@jit
def _pull_regroup(gradient, scale, variance, away, root, at, sizes, PLAN: tl.constexpr):
    """Return the gradients of scale and shift from before `_regroup`, and of the variance."""
    SHAPE: tl.constexpr = PLAN[4]
    GROUP: tl.constexpr = PLAN[5]
    size = block_size(at, sizes, GROUP)
    d_spread = -0.5 * root * root * root * (gradient[0] * scale + gradient[1] * away)
    through = block_sum(d_spread, GROUP, SHAPE) / size
    d_away = gradient[1] * root
    d_shift = d_away - block_sum(d_away, GROUP, SHAPE) / size + 2 * away * through
    d_scale = gradient[0] * root + 2 * scale * variance * through
    return (d_scale, tl.where(at[2], d_shift, 0.0)), scale * scale * through


@jit
def _pull_pool(
    moments,
    given,
    mixing,
    mixture,
    gradient,
    at,
    sizes,
    eps,
    K: tl.constexpr,
    PLAN: tl.constexpr,
):
    """Return what one pool adds to the gradients of each row's mean, variance and shares."""
    SHAPE: tl.constexpr = PLAN[4]
    AXES: tl.constexpr = PLAN[0][K]
    away, spread = _look(moments, given, at, sizes, K, PLAN)
    share = _share(mixing, at, K, PLAN)
    scale, shift = mixture
    d_scale, d_shift = gradient
    if mixing[1] is None:
        root = tl.rsqrt(spread + eps)
        d_share = root * (d_scale + d_shift * away)
        d_weight = d_share * 0
        d_spread = -0.5 * root * root * share * d_share
        d_away = share * root * d_shift
    else:
        d_share = scale * d_shift * away
        d_mixed = -0.5 * scale * scale * (scale * d_scale + d_shift * shift)
        d_weight = d_mixed * spread
        d_spread = d_mixed * pool_weight(mixing[1], mixing[2], K, PLAN)
        d_away = share * scale * d_shift
    d_variance = d_spread * 0
    if AXES >= 0:
        size = block_size(at, sizes, AXES)
        d_variance = block_sum(d_spread, AXES, SHAPE) / size
        d_away += 2 * away * d_variance - block_sum(d_away, AXES, SHAPE) / size
    return d_away, d_variance, d_share, d_weight


@jit
def _pull_weights(to, given, seen, gradient, PLAN: tl.constexpr):
    """Store the gradient of weights, or of their logits, from that of the weights, (4,)."""
    k = tl.arange(0, 4)
    if PLAN[1] == 2:
        weights = gradient * 0
        for j in tl.static_range(len(PLAN[0])):
            weights = tl.where(k == j, pool_weight(given, seen, j, PLAN), weights)
        gradient = weights * (gradient - tl.sum(weights * gradient, 0))
    tl.store(to + k, gradient.to(to.dtype.element_ty), mask=k < len(PLAN[0]))


@jit
def _pull_mix(
    moments, given, mixing, mixture, gradient, gradients, at, sizes, eps, PLAN: tl.constexpr
):
    """Return the gradients of the moments through `_mix`, and store those of the shares."""
    SHAPE: tl.constexpr = PLAN[4]
    k, d_mean, d_variance = tl.arange(0, 4), moments[1] * 0, moments[1] * 0
    of_shares, of_means, of_variances = d_mean, k * 0.0, k * 0.0
    for j in tl.static_range(len(PLAN[0])):
        d_away, d_spread, d_share, d_weight = _pull_pool(
            moments, given, mixing, mixture, gradient, at, sizes, eps, j, PLAN
        )
        d_mean += d_away
        d_variance += d_spread
        if mixing[1] is not None:
            of_means = tl.where(k == j, tl.sum(d_share, 0), of_means)
            of_variances = tl.where(k == j, tl.sum(d_weight, 0), of_variances)
        elif PLAN[1] == 1 and j == 1:
            of_shares -= d_share
        else:
            of_shares += d_share
    if mixing[1] is not None:
        _pull_weights(gradients[2], mixing[0], mixing[2], of_means, PLAN)
        _pull_weights(gradients[3], mixing[1], mixing[2], of_variances, PLAN)
    elif mixing[0] is not None:
        if PLAN[2] == 1:
            by_channel(gradients[2], of_shares, at, SHAPE)
        else:
            of_share = tl.sum(of_shares, 0)
            tl.store(gradients[2], of_share.to(gradients[2].dtype.element_ty))
    return d_mean, d_variance


@jit
def forward(
    x,
    strides,
    partial,
    numbers,
    kept,
    weight,
    bias,
    inner_bias,
    mixing,
    given,
    running,
    eps,
    sizes,
    chunking,
    TRACK: tl.constexpr,
    CHUNKS: tl.constexpr,
    PLAN: tl.constexpr,
):
    """Write slope and shift of each row, (2, N·C), and `kept`: what the way back needs.

    `kept` is offset and variance of each row, (2, N·C), the given moments, (2, C) or less,
    and whether a batch has been tracked.
    """
    SHAPE: tl.constexpr = PLAN[4]
    GROUP: tl.constexpr = PLAN[5]
    rows, at = sizes[0] * sizes[1], rows_of(sizes, SHAPE)
    n, c, present = at
    row = n * sizes[1] + c
    offset, variance = merge(partial, row, present, chunking, rows, CHUNKS)
    moments = mean_of(x, strides, offset, at), variance
    if TRACK is not None:
        track(moments, running, at, sizes, TRACK[0], TRACK[1], SHAPE)
    scale, shift = _mix(moments, given, mixing, inner_bias, at, sizes, eps, PLAN)
    if GROUP >= 0:
        away, root = _regroup((scale, shift), variance, at, sizes, eps, PLAN)
        scale, shift = scale * root, away * root
    gain = read(weight, c, present)
    tl.store(numbers + row, gain * scale, mask=present)
    tl.store(numbers + rows + row, gain * shift + read(bias, c, present), mask=present)
    tl.store(kept + row, offset, mask=present)
    tl.store(kept + rows + row, variance, mask=present)
    if given is not None:
        to, mine = c // PLAN[3], present & (n == 0) & (c % PLAN[3] == 0)
        tl.store(kept + 2 * rows + to, read(given[0], to, mine), mask=mine)
        tl.store(kept + 2 * rows + sizes[1] + to, read(given[1], to, mine), mask=mine)
    if mixing[2] is not None:
        tl.store(kept + 2 * (rows + sizes[1]), tl.where(tl.load(mixing[2]) > 0, 1.0, 0.0))


@jit
def backward(
    x,
    strides,
    partial,
    numbers,
    kept,
    weight,
    inner_bias,
    mixing,
    gradients,
    eps,
    sizes,
    chunking,
    CHUNKS: tl.constexpr,
    PLAN: tl.constexpr,
):
    """Write slope, shift and factor of dx, (3, N·C), and the gradients of the parameters.

    `gradients` are those of weight, bias, shares, variance shares and inner bias.
    """
    SHAPE: tl.constexpr = PLAN[4]
    GROUP: tl.constexpr = PLAN[5]
    rows, at = sizes[0] * sizes[1], rows_of(sizes, SHAPE)
    n, c, present = at
    row, pixels, chunks = n * sizes[1] + c, chunking[0], chunking[2]
    k = tl.arange(0, CHUNKS)[:, None]
    index, mask = k * rows + row[None, :], (k < chunks) & present[None, :]
    total = tl.sum(read(partial, index, mask), 0)
    along = tl.sum(read(partial + chunks * rows, index, mask), 0)
    variance = read(kept + rows, row, present)
    moments = mean_of(x, strides, read(kept, row, present), at), variance
    given = kept + 2 * rows, kept + 2 * rows + sizes[1]
    mixture = _mix(moments, given, mixing, inner_bias, at, sizes, eps, PLAN)
    gain = read(weight, c, present)
    gradient, d_variance = (gain * along, gain * total), along * 0
    scale, shift = mixture
    if GROUP >= 0:
        away, root = _regroup(mixture, variance, at, sizes, eps, PLAN)
        gradient, d_variance = _pull_regroup(gradient, scale, variance, away, root, at, sizes, PLAN)
        scale, shift = scale * root, away * root
    by_channel(gradients[0], scale * along + shift * total, at, SHAPE)
    by_channel(gradients[1], total, at, SHAPE)
    if inner_bias is not None:
        by_channel(gradients[4], gradient[1], at, SHAPE)
    factor = gain * scale
    d_mean, d_pooled = _pull_mix(
        *(moments, given, mixing, mixture, gradient, gradients, at, sizes, eps, PLAN)
    )
    tl.store(numbers + row, (d_variance + d_pooled) * (2.0 / pixels), mask=present)
    tl.store(numbers + rows + row, (d_mean - factor * total) * (1.0 / pixels), mask=present)
    tl.store(numbers + 2 * rows + row, factor, mask=present)
