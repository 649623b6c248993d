"""A norm as data, and the autograd function that computes it with the compiled kernels.

The code keeps the number of Python operations small: after a pass over a large map, Python's own
data is no longer in the CPU caches, and small operations take most of a norm's time.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from normsearch.norms.derivatives import first_only
from normsearch.norms.kernels import kernels
from normsearch.norms.moments import in_format_of

AS_THEY_ARE, COMPLEMENT, SOFTMAX, SPARSEST = 0, 1, 2, 3  # how `shares` become weights
MOMENTS, SQUARES, RESPONSE, CENTRE, NEIGHBOURS = 0, 1, 2, 3, 4  # what the kernels normalize by
NONE, TANH, ERF, SILU, RATIO, CUT = 0, 1, 2, 3, 4, 5  # a function of single values

#: `struct plan` and `struct tensors` of kernels_passes.h: the same fields in the same order.
PLAN = Struct("5q 6q 3q 8q 6d")
TENSORS = Struct("4P 3P 7P 7P")


class Running(NamedTuple):
    """Running moments: to be updated with those of the batch, or to normalize by."""

    mean: Tensor
    variance: Tensor
    batches: Tensor | None = None  # incremented by one; None: nothing is updated
    momentum: float | None = None  # None: cumulative average
    channels: int = 1  # per running moment
    unbias: float = 1.0  # factor from the biased to the unbiased variance
    apart: bool = False  # the mean of the samples' own variances, not the batch's variance

    @classmethod
    def of(cls, norm: Any, unbias: float = 1.0, channels: int = 1, apart: bool = False) -> Running:
        """Return the running moments of a module with the buffers of torch's BatchNorm.

        They are updated in training, with the momentum of the module.
        """
        own = norm._buffers  # __getattr__ of a module would be felt
        batches = own["num_batches_tracked"] if norm.training else None
        moments = own["running_mean"], own["running_var"]
        return cls(*moments, batches, norm.momentum, channels, unbias, apart)


class Recipe(NamedTuple):
    """How a norm uses the moments of its rows (one sample and one channel each), as data.

    Either x is normalized by the moments of each pool and the results are mixed by `shares`, or the
    moments are mixed and x is normalized once. A second norm over groups of channels may follow.

    Args:
        pools: up to three pairs: samples and channels of a block. 0 samples stand for the `running`
            moments, each of that many channels. None: a function without statistics, or
            `per_pixel`.
        shares: the weight of a single pool, None (1) or (C,); with COMPLEMENT the weight g of the
            first of two pools, (1,) or (C,), the second has 1 − g.
        variance_shares: if given, moments are mixed: means by `shares` and variances by these, both
            (3,), of which the pools have the first; logits with SOFTMAX and SPARSEST.
        gate: AS_THEY_ARE, COMPLEMENT, SOFTMAX or SPARSEST, which is SparsestMax.
        running: contiguous moments without a gradient.
        inner_bias: (C,), added before the second norm.
        group: channels per group of the second norm, 0 for none.
        seen: a count of batches, integer; where it is 0, the last pool has no share. With
            AS_THEY_ARE, `variance_shares` and `shares` must say so too.
        by: MOMENTS; SQUARES: x over the root of the pool's mean of x², without centring; RESPONSE:
            x times its channel's L2 norm over the mean one of the sample, for a single pool of all
            channels, and x itself added to the result; CENTRE: x less the pool's mean; NEIGHBOURS:
            x over (the mean of x² of the `group` channels around + eps)^0.75, without bias.
        limits: of r and d of Batch Renormalization, which the kernels write to `shares` and
            `inner_bias`, from the single pool and the running moments before the batch.
        per_pixel: by the MOMENTS, SQUARES or NEIGHBOURS at each pixel, of channels; no pools.
        function: weight·f(x) + bias, f(x) being TANH: tanh(a·x); ERF: erf(a·x + b); SILU:
            x·sigmoid(a·x) over the pool's deviation; RATIO: x over the larger of the first pool's
            deviation and a·x + the second's. CUT: the result, or a where that is larger.
        arguments: a, or a and b, of the function, each (1,) or (C,).
        sparsest: with SPARSEST, its radius, and the pools that are chosen for good of means and of
            variances, or -1.
    """

    pools: tuple[tuple[int, int], ...] = ()
    shares: Tensor | None = None
    variance_shares: Tensor | None = None
    gate: int = AS_THEY_ARE
    running: Running | None = None
    inner_bias: Tensor | None = None
    group: int = 0
    seen: Tensor | None = None
    by: int = MOMENTS
    limits: tuple[float, float] | None = None
    per_pixel: bool = False
    function: int = NONE
    arguments: tuple[Tensor, ...] = ()
    sparsest: tuple[float, int, int] = 0.0, -1, -1

    def tensors(self) -> list[Tensor]:
        """Return its floating-point tensors."""
        shares, variance_shares, inner_bias, a, b = self.parameters()
        mean, variance = self.running[:2] if self.running else (None, None)
        found = shares, variance_shares, inner_bias, a, b, mean, variance
        return [tensor for tensor in found if tensor is not None]

    def parameters(self) -> tuple[Tensor | None, ...]:
        """Return those of its tensors that may require gradients, in the kernels' order."""
        a, b = (*self.arguments, None, None)[:2]
        return self.shares, self.variance_shares, self.inner_bias, a, b

    def mark_tracked(self) -> None:
        """Tell autograd that the kernels have changed the running moments."""
        mean, variance, batches = self.running[:3] if self.running else (None, None, None)
        if mean is not None and variance is not None and batches is not None:
            for values in (mean, variance, batches):  # torch 2.5 takes one at a time
                increment_version(values)


def can_compute(x: Tensor) -> bool:
    """Return whether the compiled kernels are available and support `x`."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and _is_plain(x)
        and x.numel() > 0
        and kernels() is not None
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    )


def can_follow(recipe: Recipe, weight: Tensor, bias: Tensor) -> bool:
    """Return whether the kernels can read all tensors of a recipe, and `weight` and `bias`."""
    for tensor in (weight, bias, *recipe.tensors()):
        if not (_is_plain(tensor) and tensor.is_contiguous()):
            return False
    return True


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
    """Normalize `x`; None where the kernels do not support it, the recipe or its tensors.

    Args:
        x: (N, C, *spatial).
        weight: (C,), multiplies the result.
        bias: (C,), added to the result.
        recipe: returns the recipe from the numbers of samples and pixels; its shares, inner bias
            and arguments may require gradients.
        eps: added to variances.
        formula: the same from x, weight, bias and the recipe's arguments, in differentiable torch
            operations, for second derivatives. None: there are first derivatives only.

    Returns:
        The result, in the memory format of `x`.
    """
    made = recipe(len(x), x.shape[2:].numel()) if can_compute(x) else None
    if made is None or not can_follow(made, weight, bias):
        return None
    if made.seen is not None and not made.seen:
        made = made._replace(pools=made.pools[:-1])
    parameters = weight, bias, *made.parameters()
    out: Tensor = _Compiled.apply(x, made, eps, formula, *parameters)  # type: ignore[no-untyped-call]
    made.mark_tracked()
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
        kept = x.new_empty(4 * (samples + 1) * channels)  # as many bytes as the kernels' doubles
        plan = _plan(samples, channels, rows.numel() // (samples * channels), recipe, eps)
        running = (recipe.running or _NO_RUNNING)[:3]
        _call("normalize", plan, rows, None, out, kept, *running, *parameters, *_NO_GRADIENTS)
        ctx.plan, ctx.formula = plan, formula
        ctx.save_for_backward(x, kept, *parameters)
        return in_format_of(out, x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        differentiable = ctx.formula and torch.is_grad_enabled()  # create_graph
        return _gradients_of_formula(ctx, dy) if differentiable else _gradients(ctx, dy)


@first_only
def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, kept, *parameters = ctx.saved_tensors
    rows = x.contiguous()
    dx = torch.empty_like(rows)
    wanted = zip(parameters, ctx.needs_input_grad[4:], strict=True)
    grads = [torch.empty_like(p) if needed else None for p, needed in wanted]
    large = rows, dy.contiguous().resolve_neg(), dx, kept
    _call("pull_back", ctx.plan, *large, None, None, None, *parameters, *grads)
    return in_format_of(dx, x), None, None, None, *grads


def _gradients_of_formula(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients by autograd, so that they have gradients in turn."""
    x, _, *parameters = ctx.saved_tensors
    out = ctx.formula(x, *(p for p in parameters if p is not None))
    given = [x, None, None, None, *parameters]
    wanted = [p for p in given if p is not None and p.requires_grad]
    made = iter(torch.autograd.grad(out, wanted, dy, create_graph=True, allow_unused=True))
    return tuple(next(made) if p is not None and p.requires_grad else None for p in given)


_NO_RUNNING = None, None, None, None, 0, 1.0, False
_NO_GRADIENTS = (None,) * 7


def _plan(samples: int, channels: int, pixels: int, recipe: Recipe, eps: float) -> bytes:
    pools, shares, variance_shares, gate, running, _, group = recipe[:7]
    _, by, limits, per_pixel, function, arguments, (radius, *choices) = recipe[7:]
    (n, c), (n2, c2), (n3, c3) = (*pools, (0, 0), (0, 0), (0, 0))[:3]
    _, _, batches, momentum, tracked, unbias, apart = running or _NO_RUNNING
    return PLAN.pack(
        *(samples, channels, pixels, torch.get_num_threads(), len(pools)),
        *(n, n2, n3, c, c2, c3, gate, *choices),
        shares is not None and variance_shares is None and shares.numel() > 1,
        *(group, 0 if batches is None else tracked, apart, by, per_pixel, function),
        bool(arguments) and len(arguments[0]) < channels,
        *(eps, unbias, -1.0 if momentum is None else momentum, radius),
        *(limits or (0.0, 0.0)),
    )


def _call(name: str, plan: bytes, *tensors: Tensor | None) -> None:
    """Call a kernel with the tensors of `struct tensors`, all contiguous."""
    at = [0 if values is None else values.data_ptr() for values in tensors]
    if getattr(kernels(), name)(plan, TENSORS.pack(*at)):
        raise MemoryError(f"{name} of kernels.c found no memory for its numbers")
