"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import NetworkError, did_you_mean

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,  # slope 0.01 below 0
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "mish": functional.mish,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation by its name.

    Raises:
        NetworkError: the name is unknown.

    >>> activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in ACTIVATIONS:
        raise NetworkError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}."
            f"{did_you_mean(name, ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
