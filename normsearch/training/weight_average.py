"""The exponential moving average of a network's weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """An exponential moving average of the weights, which is evaluated instead of them.

    After the first step it is the weights; after each later one it is decay · average + (1 − decay)
    · weights (`torch.optim.swa_utils`). Buffers are not averaged: running statistics, which belong
    to the weights of each step, are to be recomputed while the average is in place.

    Args:
        network: the network that is trained.
        decay: above 0 and below 1; None averages nothing, and the methods have no effect.
    """

    def __init__(self, network: nn.Module, decay: float | None) -> None:
        self._network = network
        self._blend = None if decay is None else get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average: list[Tensor] = []
        self._trained: dict[str, Any] | None = None

    def update(self) -> None:
        """Take the weights after an optimizer step into the average."""
        if self._blend is None:
            return
        weights = self._weights()
        if self._average:
            self._blend(self._average, weights, 0)
        else:
            self._average = [weight.clone() for weight in weights]

    @torch.no_grad()
    def place(self) -> None:
        """Put the average into the network, and keep its weights and buffers for `remove`."""
        if self._blend is None:
            return
        self._trained = deepcopy(self._network.state_dict())
        for weight, average in zip(self._weights(), self._average, strict=True):
            weight.copy_(average)

    def remove(self) -> None:
        """Put the weights and buffers that are trained back into the network."""
        if self._trained is not None:
            self._network.load_state_dict(self._trained)
            self._trained = None

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`, while the average is in place."""
        return {} if self._trained is None else {"trained": self._trained}

    def restore(self, state: dict[str, Any]) -> None:
        """Load a state of `state`; the network holds the average, as at that time.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it belongs to another network, or to
                a training with other settings.
        """
        if (self._blend is not None) != ("trained" in state):
            raise ValueError("the average of the weights is in one of the two alone")
        if self._blend is None:
            return
        self._average = [weight.clone() for weight in self._weights()]
        evaluated = deepcopy(self._network.state_dict())
        self._network.load_state_dict(state["trained"])  # refuses weights of another network
        self._trained = deepcopy(self._network.state_dict())
        self._network.load_state_dict(evaluated)

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._network.parameters()]
