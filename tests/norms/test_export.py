"""Programs of torch.export compute what the norms do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.norms.test_all import ALL, draw, prepared


class _Each(nn.Module):
    """All norms on one input, so that one program is exported for all."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(prepared(text, 2) for text in ALL)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [norm(x) for norm in self.norms]


def test_exported_they_compute_the_same() -> None:
    net, x = _Each().eval(), draw((3, 5, 7), 2, seed=12)
    program = torch.export.export(net, (x,), strict=False).module()
    other = draw((3, 5, 7), 2, seed=13)
    for text, one, same in zip(ALL, program(other), net(other), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-9, atol=1e-9, msg=text)
