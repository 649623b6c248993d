"""Composite norms on Triton's kernels: three launches forward, three backward.

NORMSEARCH_KERNELS=triton asks for them. They are proven in Triton's interpreter and have not been
timed on a GPU. What backward needs is kept: x, two numbers of each sample and channel, and two of
each channel. Results are the same each time: nothing is added up atomically, the tiles of sums
follow from the shape, and only `affine`, which adds nothing up, is tuned by measuring.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import Parameter

from normsearch.norms import triton_algebra, triton_passes
from normsearch.norms.compiled import Recipe
from normsearch.norms.derivatives import first_only
from normsearch.norms.moments import in_format_of

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ROWS = 32_768  # of the algebra's tile, at most: it must fit the registers of one program
TILE = 2048  # elements of a reduction's tile
PROGRAMS = 1024  # into which a reduction is cut, about
PARTIALS = 8192  # rows times chunks, at most

_KNOWN = ("pools", "shares", "variance_shares", "gate", "running", "inner_bias", "group")
_OTHERS = tuple(field for field in Recipe._fields if field not in (*_KNOWN, "seen"))
Strides: TypeAlias = tuple[int, int, int]  # of samples, channels and pixels


class Cut(NamedTuple):
    """How a reduction cuts (N, C, pixels) up."""

    lanes: int  # channels of a tile
    span: int  # pixels of a tile
    chunk: int  # pixels that one program goes over
    chunks: int


class Plan(NamedTuple):
    """The tile of a recipe's algebra."""

    part: int
    width: int
    track: tuple[int, int] | None  # AXES, and channels of a running moment
    static: tuple[Any, ...]  # PLAN of triton_algebra.py

    @property
    def warps(self) -> int:
        """How many warps the program has: 256 rows each, from 4 to 32."""
        return min(max(int(prod(self.static[4])) // 256, 4), 32)


def can_compute(x: Tensor) -> bool:
    """Return whether the kernels support `x`; kernels.use_triton tells whether they are wanted."""
    return (
        _is_plain(x)
        and (x.is_cuda or (x.is_cpu and _interpreted()))
        and 0 < x.numel() < len(x) * 2**31
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    )


@cache
def _interpreted() -> bool:
    import triton

    return not isinstance(triton_passes.moments, triton.JITFunction)


def plan_of(recipe: Recipe, weight: Tensor, bias: Tensor, x: Tensor) -> Plan | None:
    """Return how the kernels follow a recipe; None if they cannot read it or its tensors."""
    defaults = Recipe._field_defaults
    unknown = any(getattr(recipe, name) is not defaults[name] for name in _OTHERS)
    running = recipe.running
    if unknown or (running and running.apart):
        return None
    tensors = weight, bias, *recipe.tensors()
    if not all(_is_plain(tensor) and tensor.device == x.device for tensor in tensors):
        return None
    each = recipe.shares is not None and recipe.shares.numel() > 1
    each = each and recipe.variance_shares is None
    tracked = running.channels if running and running.batches is not None else 0
    return _plan(recipe.pools, recipe.gate, each, recipe.group, tracked, *x.shape[:2])


def _is_plain(x: Tensor) -> bool:
    """Return whether `x` is of one of DTYPES: not fake, distributed or lazily negated."""
    return type(x) in (Tensor, Parameter) and x.dtype in DTYPES and not x.is_neg()


def normalize_triton(
    x: Tensor, weight: Tensor, bias: Tensor, recipe: Recipe, eps: float, plan: Plan
) -> Tensor:
    """Normalize `x` by `recipe`; supports first derivatives only. See by_kernels.

    Args:
        x: (N, C, *spatial), of one of DTYPES; `can_compute` must hold for it.
        plan: that of `plan_of`.
    """
    parameters = weight, bias, recipe.shares, recipe.variance_shares, recipe.inner_bias
    out: Tensor = _Normalize.apply(x, recipe, eps, plan, *parameters)  # type: ignore[no-untyped-call]
    recipe.mark_tracked()
    return out


class _Normalize(torch.autograd.Function):
    """Normalizes x as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, recipe: Recipe, eps: float, plan: Plan, *parameters: Tensor | None
    ) -> Tensor:
        parameters = tuple(None if p is None else p.contiguous() for p in parameters)
        weight, bias, shares, variance_shares, inner_bias = parameters
        (source, strides), (samples, channels) = _by_strides(x), x.shape[:2]
        rows, running, seen = samples * channels, recipe.running, recipe.seen
        given = running and tuple(running[:2])
        track = None
        if running and running.batches is not None:
            given, track = None, (*running[:4], float(running.unbias))
        kept = x.new_empty(2 * (rows + channels) + 1, dtype=torch.float32)
        numbers = x.new_empty(2 * rows, dtype=torch.float32)
        with _device(x):
            partial, chunking = _reduce(source, strides)
            triton_algebra.forward[(1,)](
                *(source, strides, partial, numbers, kept, weight, bias, inner_bias),
                *((shares, variance_shares, seen), given, track, eps),
                *((samples, channels, plan.part, plan.width), chunking),
                *(plan.track, _power(chunking[2]), plan.static),
                num_warps=plan.warps,
            )
            out = _apply(source, strides, None, kept, numbers)
        ctx.plan, ctx.eps, ctx.has_seen = plan, eps, seen is not None
        ctx.save_for_backward(x, kept, *parameters)
        return in_format_of(out, x)

    @staticmethod
    @first_only
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *parameters = ctx.saved_tensors
        weight, _, shares, variance_shares, inner_bias = parameters
        plan, (samples, channels) = ctx.plan, x.shape[:2]
        (source, strides), along = _by_strides(x), _by_strides(dy.resolve_neg())
        numbers = x.new_empty(3 * samples * channels, dtype=torch.float32)
        grads = tuple(None if p is None else torch.empty_like(p) for p in parameters)
        if variance_shares is not None and shares.numel() > len(plan.static[0]):
            # A gate of more logits than there are pools.
            torch._foreach_zero_([values for values in grads[2:4] if values is not None])
        with _device(x):
            partial, chunking = _reduce(source, strides, along, kept)
            triton_algebra.backward[(1,)](
                *(source, strides, partial, numbers, kept, weight, inner_bias),
                *((shares, variance_shares, kept[-1:] if ctx.has_seen else None), grads, ctx.eps),
                *((samples, channels, plan.part, plan.width), chunking),
                *(_power(chunking[2]), plan.static),
                num_warps=plan.warps,
            )
            dx = _apply(source, strides, along, kept, numbers)
        return in_format_of(dx, x), None, None, None, *grads


# ---- launches ----


def _reduce(
    x: Tensor,
    strides: Strides,
    along: tuple[Tensor, Strides] | None = None,
    kept: Tensor | None = None,
) -> tuple[Tensor, tuple[int, int, int]]:
    """Return the sums of all chunks, of x or of dy, and (pixels, chunk, chunks)."""
    samples, channels, pixels = *x.shape[:2], x.shape[2:].numel()
    lanes, span, chunk, chunks = _cut(samples, channels, pixels, strides[2] > strides[1])
    partial = x.new_empty(2 * chunks * samples * channels, dtype=torch.float32)
    grid = (samples * -(-channels // lanes) * chunks,)
    cut = (channels, pixels, samples * channels), chunk, chunks, lanes, span
    if along is None:
        triton_passes.moments[grid](x, strides, partial, *cut, num_warps=4)
    else:
        triton_passes.gradient_sums[grid](x, strides, *along, kept, partial, *cut, num_warps=4)
    return partial, (pixels, chunk, chunks)


def _apply(
    x: Tensor,
    strides: Strides,
    along: tuple[Tensor, Strides] | None,
    kept: Tensor,
    numbers: Tensor,
) -> Tensor:
    """Return y, or dx: with the strides of x, unless those leave gaps."""
    out = torch.empty_like(x)
    if _strides(out) is None:
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
    samples, channels, pixels = *x.shape[:2], x.shape[2:].numel()

    def grid(used: dict[str, Any]) -> tuple[int]:
        return (samples * -(-channels // used["LANES"]) * -(-pixels // used["SPAN"]),)

    _affine()[grid](
        *(x, strides, *(along or (None, None)), out, _strides(out)),
        *(kept, numbers, channels, pixels, samples * channels),
    )
    return out


@cache
def _affine() -> Any:
    """Return the kernel `affine`, tuned for each shape by measuring when it is first met."""
    import triton

    def tile(used: dict[str, Any]) -> tuple[int, int]:
        strides = used["out_strides"]
        return _tile(used["channels"], used["pixels"], strides[2] > strides[1], used["SIZE"])

    choices = [
        triton.Config({"SIZE": size}, num_warps=warps)
        for size, warps in ((2048, 4), (1024, 4), (4096, 4), (4096, 8), (8192, 8))
    ]
    values = {"LANES": lambda used: tile(used)[0], "SPAN": lambda used: tile(used)[1]}
    tuned = triton.autotune(
        choices[:1] if _interpreted() else choices, ["channels", "pixels", "out_strides"]
    )
    return tuned(triton.heuristics(values)(triton_passes.affine))


def _device(x: Tensor) -> Any:
    """Return a context in which Triton launches on the device of x."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


# ---- shapes ----


def _strides(x: Tensor) -> Strides | None:
    """Return the strides of samples, channels and pixels; None if pixels have no single one."""
    step = expected = None
    for size, stride in zip(reversed(x.shape[2:]), reversed(x.stride()[2:]), strict=True):
        if size > 1:
            if step is None:
                step = stride
            elif stride != expected:
                return None
            expected = stride * size
    return x.stride(0), x.stride(1), 1 if step is None else step


def _by_strides(x: Tensor) -> tuple[Tensor, Strides]:
    """Return x and its strides, or a contiguous copy and its."""
    strides = _strides(x)
    if strides is not None:
        return x, strides
    pixels = x.shape[2:].numel()
    return x.contiguous(), (x.shape[1] * pixels, pixels, 1)


def _power(count: int) -> int:
    """Return the least power of two that is not below `count`."""
    return 1 << (count - 1).bit_length()


def _tile(channels: int, pixels: int, channels_first: bool, size: int) -> tuple[int, int]:
    """Return channels and pixels of a tile of `size` elements, the nearer ones in memory first."""
    if channels_first:
        lanes = min(_power(channels), 64)
        return lanes, min(_power(pixels), size // lanes)
    span = min(_power(pixels), size)
    return min(_power(channels), size // span), span


@lru_cache(4096)
def _cut(samples: int, channels: int, pixels: int, channels_first: bool) -> Cut:
    """Return how to cut a reduction up; the same on every device, as the order of sums is."""
    lanes, span = _tile(channels, pixels, channels_first, TILE)
    programs, tiles = samples * -(-channels // lanes), -(-pixels // span)
    most = min(PROGRAMS // programs, PARTIALS // (samples * channels), tiles // 2)
    chunk = span * -(-tiles // max(most, 1))
    return Cut(lanes, span, chunk, -(-pixels // chunk))


@lru_cache(4096)
def _plan(
    pools: tuple[tuple[int, int], ...],
    gate: int,
    by_channel: bool,
    group: int,
    tracked: int,
    samples: int,
    channels: int,
) -> Plan | None:
    """Return the tile for a recipe; None if it is too large or pools are of two widths."""
    blocks = [(n, c) for n, c in pools if n]
    blocks += [(1, group)] if group else []
    blocks += [(samples, tracked)] if tracked else []
    parts = {n for n, _ in blocks if 1 < n < samples} or {1}
    widths = {c for _, c in blocks if 1 < c < channels} or {1}
    if len(parts) > 1 or len(widths) > 1:
        return None
    part, width = parts.pop(), widths.pop()
    shape = tuple(map(_power, (-(-samples // part), part, channels // width, width)))
    if prod(shape) > ROWS:
        return None

    def axes(n: int, c: int) -> int:
        of_samples = 0 if n == 1 else 2 if n < samples else 3
        return of_samples + (0 if c == 1 else 8 if c < channels else 12)

    given = next((c for n, c in pools if not n), 1)
    static = (
        tuple(axes(n, c) if n else -1 for n, c in pools),
        *(gate, int(by_channel), given, shape),
        axes(1, group) if group else -1,
    )
    return Plan(part, width, (axes(samples, tracked), tracked) if tracked else None, static)
