"""The proof that all norms of a network run, and no others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks import UNet2d, apply_norm_map, verify_norm_map


class Aliased(nn.Module):
    """As nnU-Net does it: one norm under two names, the forward pass using only the second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 6, 3, padding=1)
        self.norm = nn.InstanceNorm3d(6)
        self.all_modules = nn.Sequential(self.conv, self.norm, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.all_modules(x)
        return out


def test_a_norm_that_forward_passes_by_is_found_out() -> None:
    net = Aliased()
    net.norm = nn.InstanceNorm3d(6)  # the swap by name that misses the alias
    with pytest.raises(
        NetworkError,
        match="Aliased: every norm slot must be called in a forward pass, norm were not",
    ):
        verify_norm_map(net, torch.randn(2, 2, 4, 5, 3))


def test_verify_leaves_no_trace() -> None:
    net = UNet2d(depth=2, norm="SN")
    net.bottom.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    verify_norm_map(net, torch.randn(2, 1, 8, 12))
    assert net.training
    assert not net.bottom.conv1.norm.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_replaced_norm_that_still_runs_is_found_out() -> None:
    net = Aliased()
    net.kept = [net.norm]
    net.forward = lambda x: net.kept[0](net.all_modules(x))  # type: ignore[method-assign]
    verify_norm_map(net, torch.randn(2, 2, 4, 5, 3))
    apply_norm_map(net, {"*": "GN-3"})
    with pytest.raises(NetworkError, match=r"must be registered.*1 \(InstanceNorm3d\) is not"):
        verify_norm_map(net, torch.randn(2, 2, 4, 5, 3))
