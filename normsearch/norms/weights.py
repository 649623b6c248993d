"""Norms of a convolution's weight: Weight Normalization and Weight Standardization."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrizations, parametrize

from normsearch.errors import NormError

_WeightNorm = parametrizations._WeightNorm  # torch has no public name for it


class StandardizedWeight(nn.Module):
    """WS: (W − mean) / sqrt(var + eps) over each output channel's weights, the variance biased.

    Args:
        axis: the weight's output axis.
    """

    def __init__(self, axis: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.axis = axis
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        work = weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight
        axes = [axis for axis in range(work.dim()) if axis != self.axis]
        variance, mean = torch.var_mean(work, axes, correction=0, keepdim=True)
        return ((work - mean) * torch.rsqrt(variance + self.eps)).to(weight.dtype)


def _normalize(conv: _ConvNd) -> None:
    parametrizations.weight_norm(conv, "weight", dim=output_axis(conv))


def _standardize(conv: _ConvNd) -> None:
    parametrize.register_parametrization(conv, "weight", StandardizedWeight(output_axis(conv)))


#: Weight Normalization (Salimans and Kingma 2016): w = g·v/‖v‖ per output channel, starting from
#: the weight as it is; Weight Standardization (Qiao et al. 2019): see `StandardizedWeight`.
WEIGHT_NORMS: dict[str, Callable[[_ConvNd], None]] = {"WN": _normalize, "WS": _standardize}


def output_axis(conv: _ConvNd) -> int:
    """The axis of the weight that counts output channels: 1 in transposed convolutions, else 0."""
    return 1 if isinstance(conv, _ConvTransposeNd) else 0


def weight_norm_of(conv: nn.Module) -> str | None:
    """The weight norm on a convolution, ``WN`` or ``WS``, if any."""
    if not parametrize.is_parametrized(conv, "weight"):
        return None
    chain: nn.Module = conv.parametrizations.weight  # type: ignore[union-attr, assignment]
    for step in chain.children():
        if isinstance(step, _WeightNorm):
            return "WN"
        if isinstance(step, StandardizedWeight):
            return "WS"
    return None


def check_weight_norm(conv: _ConvNd, kind: str | None) -> None:
    """Tell whether `set_weight_norm` can do its work.

    Raises:
        NormError: a transposed convolution in groups, another parametrization on the weight, or
            WS where an output channel has one weight, which it would make 0.
    """
    if kind is None or weight_norm_of(conv) == kind:
        return
    if parametrize.is_parametrized(conv, "weight") and weight_norm_of(conv) is None:
        raise NormError(
            f"{kind} needs a plain weight, got one with another parametrization; "
            "remove that first (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    if conv.groups > 1 and output_axis(conv) == 1:
        raise NormError(
            f"{kind} needs a transposed convolution in one group, got {conv.groups} groups; "
            f"leave {kind} out here"
        )
    if kind == "WS" and math.prod(conv.kernel_size) * conv.in_channels == conv.groups:
        raise NormError(
            "WS needs more than one weight per output channel, got 1, which would become 0; "
            "leave WS out here"
        )


def weight_norms_for(conv: _ConvNd | None) -> tuple[str, ...]:
    """The weight norms that `check_weight_norm` allows on a convolution; none without one."""
    if conv is None:
        return ()
    found = []
    for kind in WEIGHT_NORMS:
        try:
            check_weight_norm(conv, kind)
        except NormError:
            continue
        found.append(kind)
    return tuple(found)


def set_weight_norm(conv: _ConvNd, kind: str | None) -> None:
    """Give a convolution the weight norm `kind` in place of the one it has; None takes it away.

    A norm that goes leaves a plain weight with the effective values; one that is there already
    stays as it is. Do this before an optimizer holds the parameters.

    Raises:
        NormError: as `check_weight_norm` says.
    """
    check_weight_norm(conv, kind)
    now = weight_norm_of(conv)
    if now == kind:
        return
    if now is not None:
        parametrize.remove_parametrizations(conv, "weight", leave_parametrized=True)
    if kind is not None:
        WEIGHT_NORMS[kind](conv)
