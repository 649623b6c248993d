"""Norms of a convolution's weight: Weight Normalization, Weight Standardization, centring."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrizations, parametrize

from normsearch.errors import NormError
from normsearch.norms.weight_parametrizations import CentredWeight, StandardizedWeight

_WeightNorm = parametrizations._WeightNorm  # torch has no public name for it


def _normalize(conv: _ConvNd) -> None:
    parametrizations.weight_norm(conv, "weight", dim=output_axis(conv))


def _standardize(conv: _ConvNd) -> None:
    parametrize.register_parametrization(conv, "weight", StandardizedWeight(output_axis(conv)))


def _centre(conv: _ConvNd) -> None:
    parametrize.register_parametrization(conv, "weight", CentredWeight(output_axis(conv)))


#: Weight Normalization (Salimans and Kingma 2016): w = g·v/‖v‖ per output channel, initially equal
#: to the weight; Weight Standardization (Qiao et al. 2019): see `StandardizedWeight`; the centred
#: weights that belong to MABN (Yan et al. 2020).
WEIGHT_NORMS: dict[str, Callable[[_ConvNd], None]] = {
    "WN": _normalize,
    "WS": _standardize,
    "MABN": _centre,
}


def output_axis(conv: _ConvNd) -> int:
    """Return the axis of output channels in the weight: 1 in transposed convolutions, else 0."""
    return 1 if isinstance(conv, _ConvTransposeNd) else 0


def weight_norm_of(conv: nn.Module) -> str | None:
    """Return the weight norm of a convolution, a key of `WEIGHT_NORMS`, or None."""
    if not parametrize.is_parametrized(conv, "weight"):
        return None
    chain: nn.Module = conv.parametrizations.weight  # type: ignore[union-attr, assignment]
    for step in chain.children():
        if isinstance(step, _WeightNorm):
            return "WN"
        if isinstance(step, StandardizedWeight):
            return "WS"
        if isinstance(step, CentredWeight):
            return "MABN"
    return None


def check_weight_norm(conv: _ConvNd, kind: str | None) -> None:
    """Check that `set_weight_norm` supports a convolution.

    Raises:
        NormError: a transposed convolution with groups, another parametrization of the weight, or
            WS or MABN with one weight per output channel, which would become 0.
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
    one = math.prod(conv.kernel_size) * conv.in_channels == conv.groups
    if kind in ("WS", "MABN") and one:
        raise NormError(
            f"{kind} needs more than one weight per output channel, got 1, which would become 0; "
            f"leave {kind} out here"
        )


def weight_norms_for(conv: _ConvNd | None) -> tuple[str, ...]:
    """Return the weight norms that `check_weight_norm` allows for a convolution."""
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
    """Replace the weight norm of a convolution by `kind`; None removes it.

    Removing a norm leaves a plain weight with the effective values. A norm of the same kind is
    kept. Call it before creating an optimizer.

    Raises:
        NormError: see `check_weight_norm`.
    """
    check_weight_norm(conv, kind)
    now = weight_norm_of(conv)
    if now == kind:
        return
    if now is not None:
        parametrize.remove_parametrizations(conv, "weight", leave_parametrized=True)
    if kind is not None:
        WEIGHT_NORMS[kind](conv)
