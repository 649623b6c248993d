"""A composite norm as data, and the autograd function that computes it with the compiled kernels.

The code keeps the number of Python operations small: after a pass over a large map, Python's own
data is no longer in the CPU caches, and each small operation costs ten microseconds or more.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from normsearch.norms.kernels import POOLS, Plan, kernels
from normsearch.norms.moments import Moments, in_format_of

AS_THEY_ARE, COMPLEMENT, SOFTMAX = 0, 1, 2  # how the kernels compute weights from `shares`
MOMENTS, SQUARES, RESPONSE = 0, 1, 2  # what the kernels normalize by


class Track(NamedTuple):
    """Running moments to update with those of the batch."""

    mean: Tensor
    variance: Tensor
    batches: Tensor  # incremented by one
    momentum: float | None  # None: cumulative average
    channels: int = 1  # per running moment
    unbias: float = 1.0  # factor from the biased to the unbiased variance
    apart: bool = False  # the mean of the samples' own variances, not the batch's variance


class Recipe(NamedTuple):
    """How a norm uses the moments of its rows (one sample and one channel each), as data.

    Either x is normalized by the moments of each pool and the results are mixed by `shares`, or the
    moments are mixed and x is normalized once. A second norm over groups of channels may follow.

    Args:
        pools: one to three pairs: samples and channels of a block. 0 samples stand for the `given`
            moments, each of that many channels.
        shares: the weight of a single pool, None (1) or (C,); with COMPLEMENT the weight g of the
            first of two pools, (1,) or (C,), the second has 1 − g.
        variance_shares: if given, moments are mixed: means by `shares` and variances by these, both
            (pools,) or longer; logits with SOFTMAX.
        gate: AS_THEY_ARE, COMPLEMENT or SOFTMAX.
        given: contiguous moments without a gradient.
        inner_bias: (C,), added before the second norm.
        group: channels per group of the second norm, 0 for none.
        track: the running moments to update.
        seen: a count of batches, integer; where it is 0, the last pool has no share. With
            AS_THEY_ARE, `variance_shares` and `shares` must say so too.
        by: MOMENTS; SQUARES: x over the root of the pool's mean of x², without centring; RESPONSE:
            x times its channel's L2 norm over the mean one of the sample, for a single pool of all
            channels, and x itself added to the result.
        limits: of r and d of Batch Renormalization, which the kernels write to `shares` and
            `inner_bias`, from the single pool and the running moments of `track`.
    """

    pools: tuple[tuple[int, int], ...]
    shares: Tensor | None = None
    variance_shares: Tensor | None = None
    gate: int = AS_THEY_ARE
    given: Moments | None = None
    inner_bias: Tensor | None = None
    group: int = 0
    track: Track | None = None
    seen: Tensor | None = None
    by: int = MOMENTS
    limits: tuple[float, float] | None = None

    def tensors(self) -> list[Tensor]:
        """Return its floating-point tensors."""
        found = [self.shares, self.variance_shares, self.inner_bias, *(self.given or ())]
        found += self.track[:2] if self.track else ()
        return [tensor for tensor in found if tensor is not None]

    def mark_tracked(self) -> None:
        """Tell autograd that the kernels have changed the running moments."""
        for values in self.track[:3] if self.track else ():
            increment_version(values)


def can_compute(x: Tensor) -> bool:
    """Return whether the compiled kernels are available and support `x`."""
    return (
        _is_plain(x) and x.numel() > 0 and kernels() is not None and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    )


def can_follow(recipe: Recipe, weight: Tensor, bias: Tensor) -> bool:
    """Return whether the kernels can read all tensors of a recipe, and `weight` and `bias`."""
    return all(map(_is_plain, [weight, bias, *recipe.tensors()]))


def _is_plain(x: Tensor) -> bool:
    """Return whether `x` is a float32 CPU tensor: not fake, distributed or lazily negated."""
    return (
        type(x) in (Tensor, Parameter) and x.dtype is torch.float32 and x.is_cpu and not x.is_neg()
    )


def normalize_compiled(
    x: Tensor, weight: Tensor, bias: Tensor, recipe: Recipe, eps: float
) -> Tensor:
    """Normalize `x` by `recipe`; supports first derivatives only.

    Args:
        x: (N, C, *spatial); `can_compute` must hold for it, and `can_follow` for the rest.
        weight: (C,), multiplies the result.
        bias: (C,), added to the result.
        recipe: its shares and inner bias may require gradients.
        eps: added to variances.

    Returns:
        The result, in the memory format of `x`.
    """
    if recipe.seen is not None and not recipe.seen:
        recipe = recipe._replace(pools=recipe.pools[:-1])
    parameters = recipe.shares, recipe.variance_shares, recipe.inner_bias
    out: Tensor = _Compiled.apply(x, recipe, eps, weight, bias, *parameters)  # type: ignore[no-untyped-call]
    recipe.mark_tracked()
    return out


class _Compiled(torch.autograd.Function):
    """Normalizes x as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, recipe: Recipe, eps: float, *parameters: Tensor | None
    ) -> Tensor:
        rows = x.contiguous()
        samples, channels = x.shape[:2]
        out = torch.empty_like(rows)
        kept = torch.empty(2 * (samples + 1) * channels, dtype=torch.float64)
        parameters = tuple(None if p is None else p.contiguous() for p in parameters)
        plan = _plan(samples, channels, rows.numel() // (samples * channels), recipe, eps)
        _call("normalize", plan, rows, out, kept, *parameters)
        ctx.plan = plan
        ctx.save_for_backward(x, kept, *parameters)
        return in_format_of(out, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *parameters = ctx.saved_tensors
        rows = x.contiguous()
        dx = torch.empty_like(rows)
        grads = [None if p is None else torch.zeros_like(p) for p in parameters]
        _call(
            "pull_back",
            ctx.plan,
            rows,
            dy.contiguous().resolve_neg(),
            kept,
            dx,
            *parameters,
            *grads,
        )
        return in_format_of(dx, x), None, None, *grads


def _plan(samples: int, channels: int, pixels: int, recipe: Recipe, eps: float) -> Plan:
    pools, shares, variance_shares, gate, given, _, group, track, _, by, limits = recipe
    padded = (*pools, *[(0, 0)] * (POOLS - len(pools)))
    by_channel = shares is not None and variance_shares is None and shares.numel() > 1
    return Plan(
        samples,
        channels,
        pixels,
        torch.get_num_threads(),
        len(pools),
        tuple(block for block, _ in padded),
        tuple(block for _, block in padded),
        gate,
        by_channel,
        group,
        track.channels if track else 0,
        bool(track and track.apart),
        by,
        eps,
        track.unbias if track else 1.0,
        -1.0 if track is None or track.momentum is None else track.momentum,
        *(limits or (0.0, 0.0)),
        *map(_at, track[:3] if track else given or ()),
    )


def _at(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _call(name: str, plan: Plan, *tensors: Tensor | None) -> None:
    """Call a kernel; the caller keeps all tensors alive."""
    if getattr(kernels(), name)(ctypes.byref(plan), *map(_at, tensors)):
        raise MemoryError(f"{name} of kernels.c found no memory for its (N, C) numbers")
