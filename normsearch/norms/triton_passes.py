"""Triton kernels: the passes over the pixels of a composite norm, and sums over its rows.

x is (N, C, pixels) by its strides, so that contiguous and channels_last tensors take the same code.
A program handles a tile of LANES channels by SPAN pixels of one sample; a reduction goes on to the
end of its chunk of pixels. Nothing is added up atomically: each chunk writes its own sums.

Statistics are float32, of x minus the first pixel of its channel: exact where values are close to
each other, so that a mean of 1e4 costs no digits. `offset` is a channel's mean minus that pixel.
"""

from __future__ import annotations

try:
    import triton
    from triton import language as tl

    jit = triton.jit
except ModuleNotFoundError as missing:  # kernels.py tells whoever asks for these kernels
    if missing.name != "triton":
        raise

    def jit(function):
        return function


@jit
def _tile(sizes, chunk, chunks, LANES: tl.constexpr):
    """Return this program's sample, channels, chunk, and its first and last pixel."""
    program = tl.program_id(0)
    start = program % chunks * chunk
    blocks = tl.cdiv(sizes[0], LANES)
    c = program // chunks % blocks * LANES + tl.arange(0, LANES)
    n = program // (chunks * blocks)
    return n, c, program % chunks, start, tl.minimum(start + chunk, sizes[1])


@jit
def _at(x, strides, n, c):
    """Return pointers to the first pixel of channels of a sample."""
    return x + n.to(tl.int64) * strides[0] + c * strides[1]


@jit
def moments(x, strides, partial, sizes, chunk, chunks, LANES: tl.constexpr, SPAN: tl.constexpr):
    """Write each chunk's mean, minus the first pixel, and sum of squares about it.

    Tiles are merged by Chan, Golub and LeVeque (1983). `partial` is (2, chunks, N·C); `sizes` are
    C, pixels and N·C.
    """
    n, c, part, start, stop = _tile(sizes, chunk, chunks, LANES)
    at, mine = _at(x, strides, n, c), c < sizes[0]
    first = tl.load(at, mask=mine, other=0).to(tl.float32)
    mean = tl.zeros((LANES,), tl.float32)
    squares = tl.zeros((LANES,), tl.float32)
    for begin in range(start, stop, SPAN):
        p = begin + tl.arange(0, SPAN)
        mask = mine[:, None] & (p < stop)[None, :]
        u = tl.load(at[:, None] + p[None, :] * strides[2], mask=mask, other=0).to(tl.float32)
        u = tl.where(mask, u - first[:, None], 0.0)
        before, count = (begin - start) * 1.0, tl.minimum(stop - begin, SPAN) * 1.0
        tile_mean = tl.sum(u, 1) / count
        away = tl.where(mask, u - tile_mean[:, None], 0.0)
        apart, share = tile_mean - mean, count / (before + count)
        squares += tl.sum(away * away, 1) + apart * apart * share * before
        mean += apart * share
    to = partial + part * sizes[2] + n * sizes[0] + c
    tl.store(to, mean, mask=mine)
    tl.store(to + chunks * sizes[2], squares, mask=mine)


@jit
def gradient_sums(
    x,
    strides,
    dy,
    dy_strides,
    offset,
    partial,
    sizes,
    chunk,
    chunks,
    LANES: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Write each chunk's sums of dy and of dy·(x − mean); see `moments`."""
    n, c, part, start, stop = _tile(sizes, chunk, chunks, LANES)
    at, at_dy, mine = _at(x, strides, n, c), _at(dy, dy_strides, n, c), c < sizes[0]
    row = n * sizes[0] + c
    first = tl.load(at, mask=mine, other=0).to(tl.float32)
    off = tl.load(offset + row, mask=mine, other=0)
    total = tl.zeros((LANES,), tl.float32)
    along = tl.zeros((LANES,), tl.float32)
    for begin in range(start, stop, SPAN):
        p = begin + tl.arange(0, SPAN)
        mask = mine[:, None] & (p < stop)[None, :]
        u = tl.load(at[:, None] + p[None, :] * strides[2], mask=mask, other=0).to(tl.float32)
        g = tl.load(at_dy[:, None] + p[None, :] * dy_strides[2], mask=mask, other=0)
        g = g.to(tl.float32)
        total += tl.sum(g, 1)
        along += tl.sum(tl.where(mask, g * ((u - first[:, None]) - off[:, None]), 0.0), 1)
    to = partial + part * sizes[2] + row
    tl.store(to, total, mask=mine)
    tl.store(to + chunks * sizes[2], along, mask=mine)


@jit
def affine(
    x,
    strides,
    dy,
    dy_strides,
    out,
    out_strides,
    offset,
    numbers,
    channels,
    pixels,
    rows,
    SIZE: tl.constexpr,
    LANES: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Write slope·(x − mean) + shift, plus factor·dy if dy is given; a chunk is one tile.

    `numbers` is (2, N·C) or (3, N·C): slope, shift, factor. SIZE is what the tile is made from.
    """
    n, c, _, start, stop = _tile((channels, pixels), SPAN, tl.cdiv(pixels, SPAN), LANES)
    at, mine, row = _at(x, strides, n, c), c < channels, n * channels + c
    first = tl.load(at, mask=mine, other=0).to(tl.float32)
    off = tl.load(offset + row, mask=mine, other=0)
    slope = tl.load(numbers + row, mask=mine, other=0)
    shift = tl.load(numbers + rows + row, mask=mine, other=0)
    p = start + tl.arange(0, SPAN)
    mask = mine[:, None] & (p < stop)[None, :]
    u = tl.load(at[:, None] + p[None, :] * strides[2], mask=mask, other=0).to(tl.float32)
    y = slope[:, None] * ((u - first[:, None]) - off[:, None]) + shift[:, None]
    if dy is not None:
        factor = tl.load(numbers + 2 * rows + row, mask=mine, other=0)
        at_dy = _at(dy, dy_strides, n, c)[:, None] + p[None, :] * dy_strides[2]
        y += factor[:, None] * tl.load(at_dy, mask=mask, other=0).to(tl.float32)
    to = _at(out, out_strides, n, c)[:, None] + p[None, :] * out_strides[2]
    tl.store(to, y.to(out.dtype.element_ty), mask=mask)


# ---- sums over rows; see triton_algebra.py for the arguments ----


@jit
def rows_of(sizes, SHAPE: tl.constexpr):
    """Return `at`."""
    samples, channels, part, width = sizes
    r = tl.arange(0, SHAPE[0] * SHAPE[1] * SHAPE[2] * SHAPE[3])
    inner_sample = r // (SHAPE[2] * SHAPE[3]) % SHAPE[1]
    n = r // (SHAPE[1] * SHAPE[2] * SHAPE[3]) * part + inner_sample
    inner_channel = r % SHAPE[3]
    c = r // SHAPE[3] % SHAPE[2] * width + inner_channel
    inside = (inner_sample < part) & (inner_channel < width)
    return n, c, inside & (n < samples) & (c < channels)


@jit
def read(numbers, index, present):
    """Return numbers of existing rows as float32, and 0 for the others."""
    return tl.load(numbers + index, mask=present, other=0).to(tl.float32)


@jit
def block_sum(values, AXES: tl.constexpr, SHAPE: tl.constexpr):
    """Return sums over blocks, each repeated at all rows of its block."""
    tile = tl.reshape(values, SHAPE)
    for axis in tl.static_range(4):
        if AXES & (1 << axis):
            tile = tl.sum(tile, axis, keep_dims=True)
    return tl.reshape(tl.broadcast_to(tile, SHAPE), values.shape)


@jit
def by_channel(to, values, at, SHAPE: tl.constexpr):
    """Store the sum of each channel over all samples."""
    n, c, present = at
    tl.store(to + c, block_sum(values, 3, SHAPE).to(to.dtype.element_ty), mask=present & (n == 0))


@jit
def block_size(at, sizes, AXES: tl.constexpr):
    """Return how many rows the block of each row has."""
    samples, channels, part, width = sizes
    size = at[0] * 0 + 1.0
    if AXES & 1:
        size *= samples
    elif AXES & 2:
        size *= tl.maximum(tl.minimum(part, samples - at[0] // part * part), 1)
    if AXES & 4:
        size *= channels
    elif AXES & 8:
        size *= width
    return size


@jit
def pool(mean, variance, at, sizes, AXES: tl.constexpr, SHAPE: tl.constexpr):
    """Return the mean of each row's block, the row's mean minus it, and the block's variance."""
    size = block_size(at, sizes, AXES)
    centre = block_sum(mean, AXES, SHAPE) / size
    away = tl.where(at[2], (mean - centre).to(tl.float32), 0.0)
    return centre, away, block_sum(variance + away * away, AXES, SHAPE) / size


@jit
def merge(partial, row, present, chunking, rows, CHUNKS: tl.constexpr):
    """Return each row's mean, minus its first pixel, and variance, from those of its chunks."""
    pixels, chunk, chunks = chunking
    k = tl.arange(0, CHUNKS)[:, None]
    index, mask = k * rows + row[None, :], (k < chunks) & present[None, :]
    share = tl.maximum(tl.minimum(pixels - k * chunk, chunk), 0) * (1.0 / pixels)
    means = read(partial, index, mask)
    offset = tl.sum(share * means, 0)
    away = tl.where(mask, means - offset[None, :], 0.0)
    squares = read(partial + chunks * rows, index, mask)
    return offset, tl.sum(squares, 0) * (1.0 / pixels) + tl.sum(share * away * away, 0)


@jit
def mean_of(x, strides, offset, at):
    """Return each row's mean: its first pixel plus `offset`."""
    first = read(x, at[0].to(tl.int64) * strides[0] + at[1] * strides[1], at[2])
    return first.to(tl.float64) + offset.to(tl.float64)


@jit
def track(moments, running, at, sizes, AXES: tl.constexpr, EACH: tl.constexpr, SHAPE: tl.constexpr):
    """Take the batch's moments into the running ones, EACH of so many channels, as torch does."""
    centre, _, spread = pool(*moments, at, sizes, AXES, SHAPE)
    means, variances, batches, momentum, unbias = running
    count = tl.load(batches) + 1
    tl.store(batches, count)
    step = momentum
    if momentum is None:
        step = 1.0 / count.to(tl.float32)
    to, mine = at[1] // EACH, at[2] & (at[0] == 0) & (at[1] % EACH == 0)
    old, old_spread = read(means, to, mine).to(tl.float64), read(variances, to, mine)
    new, new_spread = (
        old + step * (centre - old),
        old_spread + step * (spread * unbias - old_spread),
    )
    tl.store(means + to, new.to(means.dtype.element_ty), mask=mine)
    tl.store(variances + to, new_spread.to(variances.dtype.element_ty), mask=mine)


@jit
def _logit(logits, seen, K: tl.constexpr, PLAN: tl.constexpr):
    """Return a logit; that of the last pool is left out if no batch has been tracked."""
    logit = tl.load(logits + K).to(tl.float32)
    if seen is not None and len(PLAN[0]) - 1 == K:
        logit = tl.where(tl.load(seen) > 0, logit, float("-inf"))
    return logit


@jit
def pool_weight(given, seen, K: tl.constexpr, PLAN: tl.constexpr):
    """Return the weight of one pool's means, or variances, where moments are mixed."""
    if PLAN[1] == 2:
        top = _logit(given, seen, 0, PLAN)
        for j in tl.static_range(1, len(PLAN[0])):
            top = tl.maximum(top, _logit(given, seen, j, PLAN))
        total = tl.exp(_logit(given, seen, 0, PLAN) - top)
        for j in tl.static_range(1, len(PLAN[0])):
            total += tl.exp(_logit(given, seen, j, PLAN) - top)
        weight = tl.exp(_logit(given, seen, K, PLAN) - top) / total
    else:
        weight = tl.load(given + K).to(tl.float32)
    return weight
