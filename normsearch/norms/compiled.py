"""A norm as data, and the autograd function that computes it with the compiled kernels.

The code keeps the number of Python operations small: after a pass over a large map, Python's own
data is no longer in the CPU caches, and each small operation costs ten microseconds or more.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from normsearch.norms.kernels import POOLS, Plan, kernels
from normsearch.norms.moments import Moments, in_format_of

AS_THEY_ARE, COMPLEMENT, SOFTMAX = 0, 1, 2  # how the kernels compute weights from `shares`
MOMENTS, SQUARES, RESPONSE, CENTRE = 0, 1, 2, 3  # what the kernels normalize by
NONE, TANH, ERF, SILU, RATIO, CUT = 0, 1, 2, 3, 4, 5  # a function of single values

_Parameters = ctypes.c_void_p * 7  # `struct parameters` of kernels_passes.h


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
        pools: up to three pairs: samples and channels of a block. 0 samples stand for the `given`
            moments, each of that many channels. None: a function without statistics, or
            `per_pixel`.
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
            channels, and x itself added to the result; CENTRE: x less the pool's mean.
        limits: of r and d of Batch Renormalization, which the kernels write to `shares` and
            `inner_bias`, from the single pool and the running moments of `track`.
        per_pixel: by the MOMENTS or SQUARES of all channels at each pixel; no pools.
        function: weight·f(x) + bias, f(x) being TANH: tanh(a·x); ERF: erf(a·x + b); SILU:
            x·sigmoid(a·x) over the pool's deviation; RATIO: x over the larger of the first pool's
            deviation and a·x + the second's. CUT: the result, or a where that is larger.
        arguments: a, or a and b, of the function, each (1,) or (C,).
    """

    pools: tuple[tuple[int, int], ...] = ()
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
    per_pixel: bool = False
    function: int = NONE
    arguments: tuple[Tensor, ...] = ()

    def tensors(self) -> list[Tensor]:
        """Return its floating-point tensors."""
        found = [*self.parameters(), *(self.given or ())]
        found += self.track[:2] if self.track else ()
        return [tensor for tensor in found if tensor is not None]

    def parameters(self) -> tuple[Tensor | None, ...]:
        """Return those of its tensors that may require gradients, in the kernels' order."""
        first, second, *_ = *self.arguments, None, None
        return self.shares, self.variance_shares, self.inner_bias, first, second

    def mark_tracked(self) -> None:
        """Tell autograd that the kernels have changed the running moments."""
        for values in self.track[:3] if self.track else ():  # torch 2.5 takes one at a time
            increment_version(values)


def can_compute(x: Tensor) -> bool:
    """Return whether the compiled kernels are available and support `x`."""
    return (
        not torch.compiler.is_compiling()
        and _is_plain(x)
        and x.numel() > 0
        and kernels() is not None
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    )


def can_follow(recipe: Recipe, weight: Tensor, bias: Tensor) -> bool:
    """Return whether the kernels can read all tensors of a recipe, and `weight` and `bias`."""
    return all(map(_is_plain, [weight, bias, *recipe.tensors()]))


def _is_plain(x: Tensor) -> bool:
    """Return whether `x` is a float32 CPU tensor: not fake, distributed or lazily negated."""
    return (
        type(x) in (Tensor, Parameter) and x.dtype is torch.float32 and x.is_cpu and not x.is_neg()
    )


def by_kernels(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    recipe: Callable[[int, int], Recipe | None],
    eps: float,
    formula: Callable[..., Tensor] | None = None,
) -> Tensor | None:
    """Return `normalize_compiled` of what `recipe` makes of the numbers of samples and pixels.

    None where the kernels do not support `x`, the recipe or its tensors.
    """
    made = recipe(len(x), x.shape[2:].numel()) if can_compute(x) else None
    if made is None or not can_follow(made, weight, bias):
        return None
    return normalize_compiled(x, weight, bias, made, eps, formula)


def normalize_compiled(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    recipe: Recipe,
    eps: float,
    formula: Callable[..., Tensor] | None = None,
) -> Tensor:
    """Normalize `x` by `recipe`.

    Args:
        x: (N, C, *spatial); `can_compute` must hold for it, and `can_follow` for the rest.
        weight: (C,), multiplies the result.
        bias: (C,), added to the result.
        recipe: its shares, inner bias and arguments may require gradients.
        eps: added to variances.
        formula: the same from x, weight, bias and the recipe's arguments, in differentiable torch
            operations, for second derivatives. None: there are first derivatives only.

    Returns:
        The result, in the memory format of `x`.
    """
    if recipe.seen is not None and not recipe.seen:
        recipe = recipe._replace(pools=recipe.pools[:-1])
    parameters = weight, bias, *recipe.parameters()
    out: Tensor = _Compiled.apply(x, recipe, eps, formula, *parameters)  # type: ignore[no-untyped-call]
    recipe.mark_tracked()
    return out


class _Compiled(torch.autograd.Function):
    """Normalizes x as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        recipe: Recipe,
        eps: float,
        formula: Callable[..., Tensor] | None,
        *parameters: Tensor | None,
    ) -> Tensor:
        rows = x.contiguous()
        samples, channels = x.shape[:2]
        out = torch.empty_like(rows)
        kept = torch.empty(2 * (samples + 1) * channels, dtype=torch.float64)
        plan = _plan(samples, channels, rows.numel() // (samples * channels), recipe, eps)
        _call("normalize", plan, (rows, out, kept), parameters)
        ctx.plan, ctx.formula = plan, formula
        ctx.save_for_backward(x, kept, *parameters)
        return in_format_of(out, x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return _gradients(ctx, dy)
        made: tuple[Tensor | None, ...]
        made = (_gradients_of_formula if ctx.formula else once_differentiable(_gradients))(ctx, dy)
        return made


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, kept, *parameters = ctx.saved_tensors
    rows = x.contiguous()
    dx = torch.empty_like(rows)
    grads = [None if p is None else p.new_zeros(p.shape) for p in parameters]
    large = rows, dy.contiguous().resolve_neg(), kept, dx
    _call("pull_back", ctx.plan, large, parameters, grads)
    return in_format_of(dx, x), None, None, None, *grads


def _gradients_of_formula(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients by autograd, so that they have gradients in turn."""
    x, _, *parameters = ctx.saved_tensors
    out = ctx.formula(x, *(p for p in parameters if p is not None))
    given = [x, None, None, None, *parameters]
    wanted = [p for p in given if p is not None and p.requires_grad]
    made = iter(torch.autograd.grad(out, wanted, dy, create_graph=True, allow_unused=True))
    return tuple(next(made) if p is not None and p.requires_grad else None for p in given)


def _plan(samples: int, channels: int, pixels: int, recipe: Recipe, eps: float) -> Plan:
    pools, shares, variance_shares, gate, given, _, group = recipe[:7]
    track, _, by, limits, per_pixel, function, arguments = recipe[7:]
    padded = (*pools, *[(0, 0)] * (POOLS - len(pools)))
    return _plan_of(
        *(samples, channels, pixels, torch.get_num_threads(), len(pools)),
        tuple(block for block, _ in padded),
        tuple(block for _, block in padded),
        gate,
        shares is not None and variance_shares is None and shares.numel() > 1,
        group,
        track.channels if track else 0,
        bool(track and track.apart),
        *(by, per_pixel, function),
        bool(arguments) and len(arguments[0]) < channels,
        eps,
        track.unbias if track else 1.0,
        -1.0 if track is None or track.momentum is None else track.momentum,
        *(limits or (0.0, 0.0)),
        *map(_at, track[:3] if track else given or ()),
    )


@lru_cache(4096)
def _plan_of(*fields: Any) -> Plan:
    """Return the plan of these fields; to make one takes microseconds, to find it less."""
    return Plan(*fields)


def _at(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _call(name: str, plan: Plan, large: Sequence[Tensor], *small: Sequence[Tensor | None]) -> None:
    """Call a kernel with tensors, then with `struct parameters`; the caller keeps all alive."""
    # contiguous(): a copy of a few numbers, held until the kernel returns
    held = [[None if p is None else p.contiguous() for p in group] for group in small]
    groups = [_Parameters(*map(_at, group)) for group in held]
    if getattr(kernels(), name)(ctypes.byref(plan), *map(_at, large), *map(ctypes.byref, groups)):
        raise MemoryError(f"{name} of kernels.c found no memory for its numbers")
