"""The computation that all composite norms share: moments, algebra on (N, C), one affine pass.

These norms are y = scale[n, c] * (x - mean[n, c]) + shift[n, c], with mean and variance over the
pixels of one channel of one sample. The form relative to the channel's own mean keeps float32
accurate if the mean is far larger than the spread: no large rounded numbers are subtracted.

The passes over the pixels use torch's kernels on the view (1, N·C, pixels), in which each channel
of each sample is one group or channel, so that weights and biases are per (n, c).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import softshrink

from normsearch.norms.derivatives import first_only

_SUMS = [
    False,
    True,
    True,
]  # outputs of native_batch_norm_backward: the two sums, without the gradient of x


class Moments(NamedTuple):
    """A mean and a biased variance, both of shape (N, C) or broadcastable to it."""

    mean: Tensor
    variance: Tensor


class Affine(NamedTuple):
    """y = scale * (x - channel mean) + shift, both of shape (N, C) or broadcastable to it."""

    scale: Tensor
    shift: Tensor


# Maps the gradient of an affine map to the gradients of its moments and parameters.
Pullback: TypeAlias = Callable[[Affine], tuple[Moments, tuple[Tensor | None, ...]]]
Linearize: TypeAlias = Callable[[Moments], tuple[Affine, Pullback]]


def pool(moments: Moments, axis: int) -> Moments:
    """Return the joint moments of several channels (or samples); the axis is kept with length 1.

    Computes mean(v + (m − mean(m))²), as mean(v + m²) − mean(m)² would cancel.
    """
    mean = moments.mean.mean(axis, keepdim=True)
    away = moments.mean - mean
    return Moments(mean, torch.addcmul(moments.variance, away, away).mean(axis, keepdim=True))


def normalize(moments: Moments, by: Moments, eps: float) -> Affine:
    """Return the affine map from x to (x − by.mean) / sqrt(by.variance + eps)."""
    scale = torch.rsqrt(by.variance + eps)
    return Affine(scale, (moments.mean - by.mean) * scale)


def _detached(x: Tensor) -> Tensor:
    # An operation that saves its own output would otherwise hold itself, and never be freed.
    return x.detach()


def _same(x: Tensor) -> Tensor:
    return x


def by_autograd(
    coefficients: Callable[[Moments], Affine], parameters: Sequence[Tensor], moments: Moments
) -> tuple[Affine, Pullback]:
    """Call `coefficients` and derive its pullback with autograd.

    Args:
        coefficients: from moments to an affine map, with differentiable torch operations.
        parameters: the other tensors that it depends on and that need gradients.
        moments: of shape (N, C).
    """
    # Saved as they are: gradient checkpointing need not recompute such small tensors.
    with torch.enable_grad(), saved_tensors_hooks(_detached, _same):
        given = Moments(*(values.detach().requires_grad_() for values in moments))
        made = coefficients(given)
    inputs = [*given, *(values for values in parameters if values.requires_grad)]

    def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor | None, ...]]:
        reached = [(m, g.sum_to_size(m.shape)) for m, g in zip(made, gradient, strict=True)]
        outputs, incoming = zip(*(pair for pair in reached if pair[0].requires_grad), strict=True)
        grads = iter(torch.autograd.grad(outputs, inputs, incoming, True, materialize_grads=True))
        return Moments(next(grads), next(grads)), tuple(
            next(grads) if values.requires_grad else None for values in parameters
        )

    return Affine(made.scale.detach(), made.shift.detach()), pullback


def apart(
    compute: Callable[[], Tensor], parameters: Sequence[Tensor]
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor | None, ...]]]:
    """Compute a tensor from parameters in a graph of its own; return it and its pullback."""
    with torch.enable_grad(), saved_tensors_hooks(_detached, _same):
        made = compute()
    inputs = [values for values in parameters if values.requires_grad]

    def pullback(gradient: Tensor) -> tuple[Tensor | None, ...]:
        grads = iter(torch.autograd.grad(made, inputs, gradient, True) if inputs else ())
        return tuple(next(grads) if values.requires_grad else None for values in parameters)

    return made.detach(), pullback


class _Normalize(torch.autograd.Function):
    """Computes weight·(scale·(x − mean) + shift) + bias as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        linearize: Linearize,
        eps: float,
        *parameters: Tensor,
    ) -> Tensor:
        rows, (samples, channels) = _rows(x), x.shape[:2]
        maps, pixels = rows.shape[1:]
        out, mean, rstd = torch.native_group_norm(rows, None, None, 1, maps, pixels, maps, eps)
        deviation = rstd.view(samples, channels).reciprocal()
        # max(deviation² − eps, 0) in one operation
        variance = softshrink(deviation * deviation, eps)
        affine, ctx.pullback = linearize(Moments(mean.view(samples, channels), variance))
        scale = (weight * affine.scale).expand_as(deviation)
        shift = torch.addcmul(bias, weight, affine.shift).expand_as(deviation)
        by_row = shift.reshape(1, -1, 1), (scale * deviation).view(1, -1, 1)
        torch.addcmul(*by_row, out, out=out)
        # The parameters for autograd to notice if they change, as the pullback would not.
        ctx.save_for_backward(x, weight, mean, rstd, deviation, scale, *affine, *parameters)
        return _like(out, x)

    @staticmethod
    @first_only
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rstd, deviation, scale, raw_scale, shift = ctx.saved_tensors[:8]
        rows, d_rows, mean = _rows(x), _rows(dy), mean.view(-1)
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            d_rows, rows, None, None, None, mean, rstd.view(-1), True, 0.0, _SUMS
        )
        along = along.view_as(deviation) * deviation  # Σ dy·(x − mean)
        total = total.view_as(deviation)  # Σ dy
        d_moments, d_parameters = ctx.pullback(Affine(weight * along, weight * total))
        pixels = rows.shape[2]
        offset = torch.addcmul(d_moments.mean, scale, total, value=-1).mul_(1 / pixels).reshape(-1)
        slope = d_moments.variance.expand_as(scale).reshape(-1)
        # 2/pixels·slope·(x − mean) + offset; `factor` takes the place of the variance
        factor = torch.full_like(mean, (pixels / 2) ** 2)
        dx, _, _ = torch.native_batch_norm(rows, slope, offset, mean, factor, False, 0.0, 0.0)
        dx.addcmul_(scale.reshape(1, -1, 1), d_rows)
        d_weight = torch.addcmul(raw_scale * along, shift, total).sum(0)
        return _like(dx, x), d_weight, total.sum(0), None, None, *d_parameters


def full(x: Tensor) -> Tensor:
    """Return `x` in float32 at least, as float16 squares overflow above 255."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _rows(x: Tensor) -> Tensor:
    """Return (N, C, *spatial) as contiguous (1, N·C, pixels), in float32 at least."""
    return full(x).contiguous().view(1, x.shape[0] * x.shape[1], -1)


def _like(rows: Tensor, x: Tensor) -> Tensor:
    """Return rows in the shape, dtype and memory format of `x`."""
    # Not view(): autograd forbids in-place operations, such as ReLU(inplace=True), on a view that a
    # custom function returns.
    out: Tensor = torch.ops.aten._unsafe_view(rows, x.shape)
    if out.dtype != x.dtype:
        out = out.to(x.dtype)
    return in_format_of(out, x)


def in_format_of(out: Tensor, x: Tensor) -> Tensor:
    """Return `out` in the memory format of `x` (channels_last or channels_last_3d)."""
    if x.is_contiguous() or x.dim() not in (4, 5):
        return out
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return out.contiguous(memory_format=last) if x.is_contiguous(memory_format=last) else out


def normalize_linearized(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    linearize: Linearize,
    eps: float,
    parameters: Sequence[Tensor],
) -> Tensor:
    """Compute the moments of each channel of each sample, and apply the affine map of these.

    Supports first derivatives only.

    Args:
        x: (N, C, *spatial), any floating dtype; statistics are computed in float32 at least.
        weight: (C,), multiplies the result.
        bias: (C,), added to the result.
        linearize: from moments of shape (N, C) to an affine map and its pullback.
        eps: the norm's own eps; the kernel adds it to the variances, and it is subtracted again.
        parameters: the tensors whose gradients the pullback returns, in this order.

    Returns:
        weight·(scale·(x − mean) + shift) + bias, (N, C, *spatial), in the dtype and memory format
        of `x`.
    """
    out: Tensor = _Normalize.apply(x, weight, bias, linearize, eps, *parameters)  # type: ignore[no-untyped-call]
    return out


def normalize_composed(
    x: Tensor, weight: Tensor, bias: Tensor, coefficients: Callable[[Moments], Affine]
) -> Tensor:
    """Compute the same with plain torch operations, for torch.compile and torch.export."""
    work, axes = full(x), tuple(range(2, x.dim()))
    variance, mean = torch.var_mean(work, axes, correction=0)
    scale, shift = coefficients(Moments(mean, variance))
    scale, shift, mean = (
        values.reshape(*values.shape, *[1] * len(axes))
        for values in (weight * scale, weight * shift + bias, mean)
    )
    return torch.addcmul(shift, scale, work - mean).to(x.dtype)
