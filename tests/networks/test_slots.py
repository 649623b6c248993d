from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError, NormError
from normsearch.networks import NormSlot, UNet2d, apply_norm_map, list_norms, verify_norm_map
from normsearch.norms import NormSpec


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


class Foreign(nn.Module):
    """Norms of all of torch's kinds, and a LayerNorm that is none of our business."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.GroupNorm(1, 2)
        self.down = nn.Sequential(nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), nn.GroupNorm(4, 12))
        self.up = nn.ModuleDict({"norm": nn.InstanceNorm2d(12), "twin": nn.GroupNorm(12, 12)})
        self.token = nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(self.before(x))
        x = self.up["twin"](self.up["norm"](x))
        out: Tensor = self.token(x.movedim(1, -1))
        return out


def test_foreign_network_is_listed_in_order() -> None:
    assert list_norms(Foreign()) == [
        NormSlot("before", 2, 2, "LN", "", "before"),
        NormSlot("down.1", 12, 2, "BN", "down", "down"),
        NormSlot("down.2", 12, 2, "GN-4", "down", "down"),
        NormSlot("up.norm", 12, 2, "IN", "up", "up"),
        NormSlot("up.twin", 12, 2, "IN", "up", "up"),
    ]


def test_group_norm_takes_its_axes_from_the_last_convolution_before_it() -> None:
    net = nn.Sequential(
        nn.GroupNorm(2, 4),
        nn.Conv3d(4, 8, 1),
        nn.GroupNorm(2, 8),
        nn.Conv1d(8, 8, 1),
        nn.GroupNorm(2, 8),
    )
    assert [slot.dims for slot in list_norms(net)] == [3, 3, 1]
    with pytest.raises(NetworkError, match="0: must have a convolution in its network"):
        list_norms(nn.Sequential(nn.GroupNorm(2, 4)))


def test_a_lazy_norm_must_have_run() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LazyBatchNorm2d())
    with pytest.raises(NetworkError, match="1: must know its channels; run a batch"):
        list_norms(net)
    net(torch.randn(2, 3, 5, 6))
    assert list_norms(net)[0].channels == 8


def test_all_paths_of_an_aliased_norm_are_replaced() -> None:
    net = Aliased()
    assert [slot.name for slot in list_norms(net)] == ["norm"]
    assert apply_norm_map(net, {"norm": "SN"}) == {"norm": "SN"}
    assert net.norm is net.all_modules[1]
    assert [(slot.name, slot.spec, slot.dims) for slot in list_norms(net)] == [("norm", "SN", 3)]
    verify_norm_map(net, torch.randn(2, 2, 4, 5, 3))


def test_later_globs_win_and_the_effective_map_is_canonical() -> None:
    net = Foreign()
    effective = apply_norm_map(net, {"*": "BIN", "down.*": "GN-6", "down.2": NormSpec("GN", 12)})
    assert effective == {
        "before": "BIN",
        "down.1": "GN-6",
        "down.2": "IN",
        "up.norm": "BIN",
        "up.twin": "BIN",
    }
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective
    assert isinstance(net.down[2], nn.InstanceNorm2d)
    verify_norm_map(net, torch.randn(2, 2, 7, 8))


def test_slots_without_a_glob_keep_their_very_module() -> None:
    net = Foreign()
    kept = net.up["norm"]
    assert apply_norm_map(net, {"down.*": "none"})["up.norm"] == "IN"
    assert net.up["norm"] is kept
    assert apply_norm_map(net, {}) == {slot.name: slot.spec for slot in list_norms(net)}


def test_a_glob_that_matches_nothing_is_refused_before_anything_changes() -> None:
    net = Foreign()
    with pytest.raises(NetworkError) as caught:
        apply_norm_map(net, {"*": "SN", "up.nrm": "BN"})
    assert str(caught.value) == (
        "norm map: a glob must match one of the 5 norm slots, got 'up.nrm'. Did you mean 'up.norm'?"
    )
    assert [slot.spec for slot in list_norms(net)] == ["LN", "BN", "GN-4", "IN", "IN"]


def test_an_infeasible_spec_names_the_slot() -> None:
    net = Foreign()
    with pytest.raises(NormError, match="before: GN-4 needs a channel count that 4 divides, got 2"):
        apply_norm_map(net, {"*": "GN-4"})
    with pytest.raises(NormError, match=r"must be one of none, BN, .* got 'GM-4'"):
        apply_norm_map(net, {"*": "GM-4"})
    assert [slot.spec for slot in list_norms(net)] == ["LN", "BN", "GN-4", "IN", "IN"]


def test_new_norms_take_dtype_device_and_mode_from_the_old() -> None:
    net = Foreign().double().eval()  # the IN has no tensors of its own
    apply_norm_map(net, {"*": "SN"})
    assert net.up["norm"].weight.dtype == torch.float64
    assert not net.up["norm"].training
    net = Foreign().to("meta")
    apply_norm_map(net, {"*": "BIN"})
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_none_can_be_replaced_again() -> None:
    net = Foreign()
    apply_norm_map(net, {"*": "none"})
    assert {slot.spec for slot in list_norms(net)} == {"none"}
    assert set(apply_norm_map(net, {"*": "BN"}).values()) == {"BN"}
    assert isinstance(net.down[1], nn.BatchNorm2d)


def test_new_norms_start_afresh() -> None:
    net = Foreign()
    nn.init.constant_(net.down[1].weight, 5.0)
    apply_norm_map(net, {"down.1": "BN"})
    assert torch.equal(net.down[1].weight, torch.ones(12))


@pytest.mark.parametrize(
    "spec",
    [
        *("none", "BN", "SyncBN", "BRN", "IN", "LN", "GN-2", "BGN-2", "GBGN-2x2", "BCN-2", "BIN"),
        *("BIN(sync=true)", "ILN(gate=clip,regroup=2)", "ILN(regroup=none)", "SN", "SSN", "LRN"),
        *("SN(official=true)", "SN(official=true,sync=true)", "LRN(over=space)", "MBN", "WN"),
        *("WN+MBN", "WS", "WS+GN-2", "WS+SN(sync=true)", "slabGN-2", "IN-axisnone"),
        *("FRN", "FRN(eps=learnt)", "WS+FRN", "EvoNorm-S0-2", "EvoNorm-B0", "MABN"),
        "MABN(window=4)",
    ],
)
def test_every_norm_is_found_again_after_it_was_put_there(spec: str) -> None:
    net = UNet2d(depth=1, first_channels=4)
    effective = apply_norm_map(net, {"*": spec})
    assert set(effective.values()) == {spec}
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective
    x = torch.randn(2, 1, 8, 12)
    net(x)
    verify_norm_map(net, x)
    assert set(apply_norm_map(net, {"*": "BN"}).values()) == {"BN"}
