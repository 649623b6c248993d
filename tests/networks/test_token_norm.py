"""LayerNorms of transformers: left alone, replaced where a norm map names them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks import apply_norm_map, list_norms, verify_norm_map


class Block(nn.Module):
    """A transformer block on (N, tokens, C)."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)
        self.norm2 = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.linear(self.norm2(x))
        return out


class Hybrid(nn.Module):
    """A stem with BN, two transformer blocks, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.BatchNorm2d(8))
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        tokens = self.blocks(x.flatten(2).transpose(1, 2))
        out: Tensor = self.head(tokens.transpose(1, 2).reshape(x.shape))
        return out


X = torch.randn(3, 1, 20, 24, generator=torch.Generator().manual_seed(0))


def test_they_are_left_alone() -> None:
    net = Hybrid()
    assert [slot.name for slot in list_norms(net)] == ["stem.1"]
    assert apply_norm_map(net, {"*": "GN-2"}) == {"stem.1": "GN-2"}
    assert isinstance(net.blocks[0].norm1, nn.LayerNorm)


@pytest.mark.parametrize("spec", ["IN", "BN", "LN", "GN-2", "SN", "BKN", "none"])
def test_named_ones_are_replaced_and_slots_from_then_on(spec: str) -> None:
    net = Hybrid()
    wanted = {"*": "GN-4", "*.norm1": spec, "blocks.1.norm2": "LN"}
    effective = apply_norm_map(net, wanted)
    assert effective == {
        "stem.1": "GN-4",
        "blocks.0.norm1": spec,
        "blocks.1.norm1": spec,
        "blocks.1.norm2": "LN",
    }
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective
    assert isinstance(net.blocks[0].norm2, nn.LayerNorm)
    verify_norm_map(net, X)
    net(X).square().mean().backward()
    assert net(X).shape == (3, 8, 5, 6)
    again = Hybrid()
    assert apply_norm_map(again, effective) == effective
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(X), net.eval()(X))
    assert set(apply_norm_map(net, {"*": "BN"}).values()) == {"BN"}
    verify_norm_map(net, X)


def test_tokens_are_the_pixels() -> None:
    net = Hybrid()
    apply_norm_map(net, {"blocks.0.norm1": "IN"})
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(1)).double()
    got = net.double().blocks[0].norm1(x)
    mean, variance = x.mean((1, 2), keepdim=True), x.var((1, 2), unbiased=False, keepdim=True)
    torch.testing.assert_close(got, (x - mean) / torch.sqrt(variance + 1e-5))


def test_those_that_cannot_be_replaced() -> None:
    net = nn.ModuleDict({"wide": nn.LayerNorm((5, 6)), "layer": nn.TransformerEncoderLayer(8, 2)})
    with pytest.raises(NetworkError, match=r"^wide: must be a LayerNorm over the last axis alone"):
        apply_norm_map(net, {"wide": "IN"})
    with pytest.raises(NetworkError, match=r"^layer.norm1: cannot be replaced, TransformerEncoder"):
        apply_norm_map(net, {"layer.norm1": "IN"})
    with pytest.raises(NetworkError, match="a glob must match one of the 1 norm slots, got 'norm'"):
        apply_norm_map(nn.Sequential(nn.Conv1d(1, 4, 1), nn.GroupNorm(2, 4)), {"norm": "IN"})
