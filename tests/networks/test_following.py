"""Norms that own their activation: it leaves with them and comes back, and never twice."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.networks import (
    UNet2d,
    apply_norm_map,
    following,
    list_norms,
    mix_norms,
    verify_norm_map,
)
from normsearch.networks.following import OwnedActivation
from normsearch.norms import FilterResponseNorm, MixedNorm


def sequence(*after: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), *after, nn.Conv2d(4, 4, 1))


class Block(nn.Module):
    """A block as people write it, with one ReLU, called as `order` says."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        self.conv, self.norm, self.relu = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.order == "once":
            return self.relu(self.norm(x))
        if self.order == "twice":
            return self.relu(x + self.relu(self.norm(x)))
        if self.order == "function":
            return torch.relu(self.norm(x))
        if self.order == "sum":
            return self.relu(self.norm(x) + x)
        if self.order == "skip":
            x = self.norm(x)
            return self.relu(x) + x
        if self.order == "before":
            return self.norm(self.relu(x))
        return self.relu(self.norm(x)) if x.mean() > -9 else x  # cannot be traced


class Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)])
        self.norms = nn.ModuleDict({"a": nn.BatchNorm2d(4), "b": nn.BatchNorm2d(4)})
        self.acts = nn.ModuleList([nn.PReLU(4), nn.Sigmoid()])

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm, act in zip(self.convs, self.norms.values(), self.acts, strict=True):
            x = act(norm(conv(x)))
        return x


shared = nn.BatchNorm2d(4)
NETS: dict[str, tuple[Callable[[], nn.Module], list[bool]]] = {
    "sequence": (lambda: sequence(nn.ReLU()), [True]),
    "dropout between": (lambda: sequence(nn.Dropout(), nn.Identity(), nn.GELU()), [True]),
    "nested": (lambda: nn.Sequential(nn.Sequential(sequence()[:2]), nn.SiLU()), [True]),
    "no activation": (lambda: sequence(), [False]),
    "unknown activation": (lambda: sequence(nn.Sigmoid()), [False]),
    "pooling between": (lambda: sequence(nn.MaxPool2d(2), nn.ReLU()), [False]),
    "shared norm": (lambda: nn.Sequential(sequence()[0], shared, nn.ReLU(), shared), [False]),
    "lists": (Lists, [True, False]),
    **{order: (lambda order=order: Block(order), [order == "once"]) for order in
       ("once", "twice", "function", "sum", "skip", "before", "values")},
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_where_an_activation_is_known(name: str) -> None:
    make, known = NETS[name]
    net = make()
    slots = list_norms(net)
    assert [slot.activation for slot in slots] == known
    for slot in slots:
        if not slot.activation:
            with pytest.raises(NormError, match=rf"^{slot.name}: FRN is its own activation"):
                apply_norm_map(net, {slot.name: "FRN"})
    assert [slot.spec for slot in list_norms(net)] == ["BN"] * len(slots)


@pytest.mark.parametrize("name", [name for name, (_, known) in NETS.items() if known[0]])
def test_the_activation_leaves_and_comes_back(name: str) -> None:
    net = NETS[name][0]().eval()
    x = torch.randn(2, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    slot = list_norms(net)[0]
    before, keys = net(x), list(net.state_dict())
    kinds = [type(module) for module in net.modules()]
    for spec in ("FRN", "EvoNorm-B0"):
        assert apply_norm_map(net, {slot.name: spec})[slot.name] == spec
        owned = [module for module in net.modules() if isinstance(module, OwnedActivation)]
        assert len(owned) == 1
        assert list_norms(net)[0] == copy.copy(list_norms(copy.deepcopy(net))[0])
        verify_norm_map(net, x)
    apply_norm_map(net, {slot.name: "BN"})
    modules = list(net.modules())
    assert len(modules) == len(kinds)
    for module, kind in zip(modules, kinds, strict=True):  # our BN is a subclass of torch's
        assert isinstance(module, kind)
    assert list(net.state_dict()) == keys
    torch.testing.assert_close(net.eval()(x), before)


def test_the_norm_is_all_that_stands_between_the_convolutions() -> None:
    net = sequence(nn.ReLU())
    apply_norm_map(net, {"1": "FRN"})
    nn.init.constant_(net[1].threshold, -0.5)
    x = torch.randn(2, 2, 9, 9)
    torch.testing.assert_close(net(x), net[3](net[1](net[0](x))))
    assert (net[1](net[0](x)) < 0).any()


def test_in_our_blocks_the_activation_is_the_norms() -> None:
    net = UNet2d(depth=1, first_channels=4, norm="FRN", seed=0, activation="silu")
    block = net.enc1.conv1
    nn.init.constant_(block.norm.threshold, -0.5)
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(block(x), block.norm(block.conv(x)))
    apply_norm_map(net, {"enc1.conv1.norm": "none"})
    torch.testing.assert_close(block(x), nn.functional.silu(block.conv(x)))


def test_a_mixture_in_its_place_brings_the_activation_back() -> None:
    net = sequence(nn.ReLU())
    apply_norm_map(net, {"1": "FRN"})
    mix_norms(net, {("1",): ("BN", "IN")})
    assert isinstance(net[1], MixedNorm)
    assert isinstance(net[2], nn.ReLU)
    for spec in ("FRN", "EvoNorm-S0-2", "EvoNorm-B0", "MABN"):
        with pytest.raises(NormError, match=f"{spec} reaches beyond its slot"):
            MixedNorm(4, 2, ("BN", spec), nn.Parameter(torch.zeros(2)))


def test_a_layer_norm_is_not_replaced_by_one() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU())
    for before in ("LN", None):
        with pytest.raises(NormError, match=r"^1: FRN is its own activation"):
            apply_norm_map(net, {"1": "FRN"})
        if before:
            apply_norm_map(net, {"1": before})


def test_a_kept_activation_returns_in_the_networks_dtype() -> None:
    net = Lists()
    apply_norm_map(net, {"norms.a": "FRN"})
    net.double()
    apply_norm_map(net, {"norms.a": "IN"})
    assert net.acts[0].weight.dtype == torch.float64
    assert not isinstance(net.norms["a"], FilterResponseNorm)


def test_a_module_is_traced_once_and_only_where_a_norm_owns_its_activation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced: list[nn.Module] = []
    trace = following._traced
    monkeypatch.setattr(
        following, "_traced", lambda module: (traced.append(module), trace(module))[1]
    )
    net = nn.Sequential(Block("once"), Block("once"))
    net[1].conv = nn.Conv2d(4, 4, 3)
    apply_norm_map(net, {"*": "GN-2"})
    assert traced == []
    apply_norm_map(net, {"*": "FRN"})
    assert len(traced) == len(set(traced)) == 2
    assert [type(block.relu) for block in net] == [OwnedActivation, OwnedActivation]
    apply_norm_map(net, {"*": "IN"})
    assert [type(block.relu) for block in net] == [nn.ReLU, nn.ReLU]
