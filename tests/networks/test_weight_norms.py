"""WN and WS through the slots: on the convolution before, and away again."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from normsearch.errors import NormError
from normsearch.networks import UNet2d, apply_norm_map, list_norms, verify_norm_map
from normsearch.networks.convolutions import conv_before
from normsearch.norms import NoNorm, weight_norm_of

CONVOLUTIONS = [
    lambda: nn.Conv1d(3, 8, 3),
    lambda: nn.Conv2d(3, 8, 3),
    lambda: nn.Conv3d(3, 8, 3),
    lambda: nn.ConvTranspose1d(3, 8, 2),
    lambda: nn.ConvTranspose2d(3, 8, 2),
    lambda: nn.ConvTranspose3d(3, 8, 2),
]


def specs(net: nn.Module) -> list[str]:
    return [slot.spec for slot in list_norms(net)]


@pytest.mark.parametrize("make", CONVOLUTIONS)
@pytest.mark.parametrize("spec", ["WN", "WN+MBN", "WS+GN-2", "WS", "MABN"])
def test_every_convolution_in_and_out_again(make, spec: str) -> None:
    conv = make()
    dims = conv.weight.dim() - 2
    net = nn.Sequential(conv, nn.Dropout(0.0), NoNorm(8, dims), nn.ReLU())
    before = conv.weight.detach().clone()
    names = list(dict(net.named_parameters()))
    assert apply_norm_map(net, {"*": spec}) == {"2": spec}
    assert specs(net) == [spec]
    x = torch.randn(2, 3, *(5, 6, 7)[:dims])
    verify_norm_map(net, x)
    effective = conv.weight.detach().clone()
    if spec.startswith("WN"):
        torch.testing.assert_close(effective, before)
    assert apply_norm_map(net, {"*": "none"}) == {"2": "none"}
    assert not parametrize.is_parametrized(conv)
    assert type(conv) is type(make())
    assert sorted(dict(net.named_parameters())) == sorted(names)
    assert isinstance(conv.weight, nn.Parameter)
    assert conv.weight.requires_grad
    torch.testing.assert_close(conv.weight.detach(), effective)


def test_a_network_of_weight_norms() -> None:
    net = UNet2d(depth=2, first_channels=4, seed=0)
    effective = apply_norm_map(net, {"*": "WS+GN-2", "dec*": "WN+MBN", "enc1.conv1.norm": "WN"})
    assert effective["enc1.conv1.norm"] == "WN"
    assert effective["dec2.up.norm"] == "WN+MBN"
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective
    x = torch.randn(2, 1, 8, 12)
    verify_norm_map(net, x)
    net(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    again = UNet2d(depth=2, first_channels=4, seed=1)
    apply_norm_map(again, effective)
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.eval()(x), net.eval()(x))
    assert set(apply_norm_map(net, {"*": "WS+BN"}).values()) == {"WS+BN"}
    assert set(apply_norm_map(net, {"*": "BN"}).values()) == {"BN"}
    assert set(net.state_dict()) == set(UNet2d(depth=2, first_channels=4).state_dict())


def test_the_output_channels_of_an_up_convolution_have_length_g() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(3, 5, 2), NoNorm(5, 2))
    apply_norm_map(net, {"*": "WN"})
    gain = net[0].parametrizations.weight.original0
    assert gain.shape == (1, 5, 1, 1)
    torch.testing.assert_close(net[0].weight.square().sum((0, 2, 3)).sqrt(), gain.flatten())


def test_canonical_after_a_weight_norm() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    assert apply_norm_map(net, {"*": "WS+GN-8"}) == {"1": "WS+IN"}
    kept = net[0].parametrizations.weight
    assert apply_norm_map(net, {"*": "WS+LN"}) == {"1": "WS+LN"}
    assert net[0].parametrizations.weight is kept


def test_a_weight_norm_of_anyones_is_listed() -> None:
    net = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8))
    assert specs(net) == ["WN+BN"]


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.PixelShuffle(2), nn.BatchNorm2d(1)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(1)),
    ],
)
def test_a_slot_without_a_convolution_before_it_is_refused(net: nn.Module) -> None:
    name = list_norms(net)[-1].name
    before = specs(net)
    with pytest.raises(NormError, match=rf"^{name}: WS\+IN needs a convolution to \d channels"):
        apply_norm_map(net, {name: "WS+IN"})
    with pytest.raises(NormError, match="directly before the norm, and there is none; use none"):
        apply_norm_map(net, {name: "WN"})
    assert specs(net) == before


def test_other_faults_name_the_slot_and_change_nothing() -> None:
    grouped = nn.Sequential(nn.ConvTranspose2d(4, 8, 2, groups=2), nn.BatchNorm2d(8))
    with pytest.raises(NormError, match="1: WN needs a transposed convolution in one group, got 2"):
        apply_norm_map(grouped, {"*": "WN"})
    lone = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8))
    with pytest.raises(NormError, match="1: WS needs more than one weight per output channel"):
        apply_norm_map(lone, {"*": "WS+BN"})
    other = nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8))
    with pytest.raises(NormError, match="1: WN needs a plain weight, got one with another"):
        apply_norm_map(other, {"*": "WN"})
    assert [specs(net) for net in (grouped, lone, other)] == [["BN"]] * 3
    assert set(apply_norm_map(other, {"*": "IN"}).values()) == {"IN"}
    assert parametrize.is_parametrized(other[0])


def test_conv_before_sees_the_convolution_alone() -> None:
    net = UNet2d(depth=1, first_channels=4)
    assert conv_before(net, net.dec1.up.norm, 4) is net.dec1.up.conv
    assert conv_before(net, net.dec1.up.norm, 8) is None
    assert weight_norm_of(net.head) is None


def test_slots_say_which_weight_norms_they_can_take() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 1),  # one weight a channel: WS would make it 0
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.ConvTranspose2d(4, 4, 2, groups=2),
        nn.BatchNorm2d(4),
    )
    assert [slot.weight_norms for slot in list_norms(net)] == [
        *(("WN",), ("WN", "WS", "MABN"), (), ()),
    ]
