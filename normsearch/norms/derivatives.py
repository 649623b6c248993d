"""Gradients by hand, which have no derivatives, and say so where one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import torch
from torch import Tensor

Backward: TypeAlias = Callable[[Any, Tensor], tuple[Tensor | None, ...]]


class _WithoutDerivatives(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if values is None else values.clone() for values in gradients)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        raise RuntimeError(
            "this norm has first derivatives only: its gradient was written by hand. Second ones "
            "have BN, LN, GN and the norms that docs/norms.md names; take one of these"
        )


def first_only(backward: Backward) -> Backward:
    """Make a `backward` raise RuntimeError where the gradients that it returns are differentiated.

    torch's once_differentiable does so only where the gradient that comes in has derivatives, and
    counts those by the input as 0: a penalty on a gradient would be silently wrong.
    """

    @wraps(backward)
    def checked(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():  # without create_graph
            return backward(ctx, dy)
        with torch.no_grad():
            gradients = backward(ctx, dy)
        anchor = torch.zeros((), requires_grad=True)
        found: tuple[Tensor | None, ...]
        found = _WithoutDerivatives.apply(anchor, *gradients)  # type: ignore[no-untyped-call]
        return found

    return checked
