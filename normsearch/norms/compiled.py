"""A composite norm told as data, and the autograd node that computes it by the compiled kernels."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from normsearch.norms.kernels import POOLS, Plan, kernels
from normsearch.norms.moments import Moments, in_format_of

GIVEN = (0, 0)  # in place of a block: the given moments


class Recipe(NamedTuple):
    """What a norm makes of the moments of its rows (one sample, one channel each), as data.

    Each pool's moments give a normalization of x. These are mixed by the shares; or else the
    moments are, and x is normalized once. A second norm over groups of channels may follow.
    """

    pools: tuple[tuple[int, int], ...]  # samples and channels of a block; 1 to 3 of them
    shares: Tensor  # (pools,) or (pools, C); of moments (2, pools): of the mean, of the variance
    given: Moments | None = None  # (1, C), without a gradient: what GIVEN stands for
    mixes_moments: bool = False
    inner_bias: Tensor | None = None  # (C,), is added before the second norm
    group: int = 0  # channels of a group of the second norm, 0: there is none
    tracked: int = 0  # channels of a running moment, 0: no batch moments are asked for
    unbias: float = 1.0  # the factor of the tracked variance


def can_compute(x: Tensor, weight: Tensor) -> bool:
    """Whether the compiled kernels are at hand and are for such an input."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and type(x) in (Tensor, Parameter)  # no fake, no distributed one: they have no memory
        and x.numel() > 0
        and kernels() is not None
        and not torch.jit.is_tracing()
    )


def normalize_compiled(
    x: Tensor, weight: Tensor, bias: Tensor, recipe: Recipe, eps: float
) -> tuple[Tensor, Tensor | None]:
    """Normalize `x` by `recipe`; first derivatives only.

    Args:
        x: (N, C, *spatial), for which `can_compute` holds.
        weight: (C,), multiplies the result.
        bias: (C,), is added to the result.
        recipe: may carry gradients to its shares and its inner bias.
        eps: is added to variances.

    Returns:
        The result, in the memory format of `x`, and the moments of the batch, (2, C / tracked),
        None if they are not asked for.
    """
    tracked = torch.empty(2, x.shape[1] // recipe.tracked) if recipe.tracked else None
    out: Tensor = _Compiled.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, recipe.shares, recipe.inner_bias, recipe, eps, tracked
    )
    return out, tracked


class _Compiled(torch.autograd.Function):
    """x -> the normalized x, all of it one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        shares: Tensor,
        inner_bias: Tensor | None,
        recipe: Recipe,
        eps: float,
        tracked: Tensor | None,
    ) -> Tensor:
        rows, ctx.plan = x.contiguous(), _plan(x, recipe, eps)
        shares = shares.contiguous()
        out = torch.empty_like(rows)
        samples, channels = x.shape[:2]
        kept = torch.empty(2 * (samples + 1) * channels, dtype=torch.float64)
        given = [values.contiguous() for values in recipe.given or ()]
        ctx.plan.given_mean, ctx.plan.given_variance = map(_at, given or (None, None))
        _point(ctx.plan, weight, shares, inner_bias)
        ctx.plan.bias = bias.data_ptr()
        _call("normalize", ctx.plan, rows, out, kept, tracked)
        ctx.save_for_backward(x, weight, shares, inner_bias, kept)
        return in_format_of(out, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, shares, inner_bias, kept = ctx.saved_tensors
        rows = x.contiguous()
        dx = torch.empty_like(rows)
        grads = [torch.empty_like(values) for values in (weight, weight, shares)]
        d_inner = None if inner_bias is None else torch.empty_like(inner_bias)
        _point(ctx.plan, weight, shares, inner_bias)
        _call("pull_back", ctx.plan, rows, dy.contiguous(), kept, dx, *grads, d_inner)
        return in_format_of(dx, x), *grads, d_inner, None, None, None


def _plan(x: Tensor, recipe: Recipe, eps: float) -> Plan:
    samples, channels = x.shape[:2]
    blocks = (*recipe.pools, *[GIVEN] * (POOLS - len(recipe.pools)))
    by_channel = recipe.shares.numel() > len(recipe.pools) and not recipe.mixes_moments
    return Plan(
        samples=samples,
        channels=channels,
        pixels=x.shape[2:].numel(),
        pools=len(recipe.pools),
        block_samples=tuple(size for size, _ in blocks),
        block_channels=tuple(size for _, size in blocks),
        mixes_moments=recipe.mixes_moments,
        share_stride=channels if by_channel else 0,
        group=recipe.group,
        tracked=recipe.tracked,
        eps=eps,
        unbias=recipe.unbias,
    )


def _point(plan: Plan, weight: Tensor, shares: Tensor, inner_bias: Tensor | None) -> None:
    """Where the parameters are; anew for the way back, for a hook may have moved what was saved."""
    plan.weight, plan.shares, plan.inner_bias = map(_at, (weight, shares, inner_bias))
    plan.threads = torch.get_num_threads()


def _at(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _call(name: str, plan: Plan, *tensors: Tensor | None) -> None:
    """Call a kernel; every tensor is held by the caller meanwhile."""
    if getattr(kernels(), name)(ctypes.byref(plan), *map(_at, tensors)):
        raise MemoryError(f"{name} of kernels.c found no memory for its (N, C) numbers")
