"""A trained network of fixed norms leaves PyTorch as a graph."""

from __future__ import annotations

import pytest
import torch

from normsearch.networks import UNet2d, apply_norm_map

FIXED = [
    *(
        "none",
        "BN",
        "SyncBN",
        "BRN",
        "BKN",
        "IN",
        "LN",
        "GN-2",
        "BGN-2",
        "GBGN-2x2",
        "BCN-2",
        "LRN",
    ),
    *("MBN", "WN", "WN+MBN", "WS+GN-2", "slabGN-2", "IN-axisnone"),
]


@pytest.mark.parametrize("spec", FIXED)
def test_an_evaluated_network_is_exported(spec: str) -> None:
    net = UNet2d(depth=1, first_channels=4, seed=0)
    apply_norm_map(net, {"*": spec})
    x = torch.randn(2, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    net(x)
    net.eval()
    with torch.no_grad():
        exported = torch.export.export(net, (x,)).module()
        torch.testing.assert_close(exported(x), net(x))
