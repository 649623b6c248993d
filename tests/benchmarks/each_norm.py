"""A spec of every norm, and how one is run for a measurement; needs torch alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torch import Tensor, nn

from normsearch.norms import NORMS, NormSpec
from normsearch.norms.kernels import kernels, use_triton

#: Kinds that are nothing to time alone: the identity, and those of a convolution's weight.
UNTIMED = ("none", "WN", "WS")


def specs() -> list[str]:
    """Return a spec of each kind of norm, and IN(track=true), which is code of its own."""
    forms = [kind.form or name for name, kind in NORMS.items() if name not in UNTIMED]
    filled = [form.replace("-SxG", "-2x8").replace("-G", "-8") for form in forms]
    filled.insert(filled.index("IN") + 1, "IN(track=true)")
    return [str(NormSpec.parse(text)) for text in filled]


def stepper(norm: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], None]:
    """Return what runs forward and backward once, and lets the gradients go."""

    def step() -> None:
        norm(x).backward(dy)
        x.grad = None  # at the end, so that nothing is held when the next one starts
        norm.zero_grad()

    return step


@contextmanager
def kernels_of(choice: str | None) -> Iterator[None]:
    """Compute with the kernels that NORMSEARCH_KERNELS=`choice` asks for; None leaves it alone."""
    with patch.dict(os.environ, {} if choice is None else {"NORMSEARCH_KERNELS": choice}):
        _forget_kernels()
        yield
    _forget_kernels()


def _forget_kernels() -> None:
    for chosen in (kernels, use_triton):
        chosen.cache_clear()
