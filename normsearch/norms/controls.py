"""Controls: what two Keras packages compute under the names GN and IN.

They serve to test whether a published ranking (Kolarik et al. 2020, Table 2) results from the
packages that were used. That is a hypothesis: the paper does not show its calls.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

from normsearch.norms.base import Norm, by_rows
from normsearch.norms.groups import check_groups


class SlabGroupNorm(Norm):
    """slabGN-G: "GN" by reshaping (N, *spatial, C) to (N, G, ...) without moving the channels.

    Each "group" is one of G equal parts of the flattened (*spatial, C): a slab of the first
    spatial axis over all channels (if G does not divide its length, slabs end within a row).
    Weight and bias are per channel. slabGN-1 is LN.

    Shape: (N, C, *spatial) -> the same. Training and eval are the same.

    Raises:
        NormError: G does not divide C, which the package requires.
    """

    def __init__(self, channels: int, dims: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims)
        check_groups("slabGN", channels, groups)
        self.groups = groups
        self.eps = eps
        self.spec_text = f"slabGN-{groups}"
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        return by_rows(x, self._normalized).to(x.dtype)

    def _normalized(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        slabs = last.reshape(x.shape[0], self.groups, -1)
        normal = group_norm(slabs, self.groups, eps=self.eps)
        out = torch.addcmul(self.bias, normal.reshape(last.shape), self.weight)
        return out.movedim(-1, 1).contiguous()


class AxisNoneNorm(Norm):
    """IN-axisnone: "IN" with axis=None, that is LN with one weight and one bias for all channels.

    The package adds 1e-3 to the standard deviation; here eps is inside the root, as elsewhere.

    Shape: (N, C, *spatial) -> the same. Training and eval are the same.
    """

    spec_text = "IN-axisnone"

    def __init__(self, channels: int, dims: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        weight, bias = (values.expand(self.channels) for values in (self.weight, self.bias))
        return by_rows(x, lambda rows: group_norm(rows, 1, weight, bias, self.eps))
