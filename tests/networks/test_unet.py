from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from normsearch.errors import NetworkError, NormError
from normsearch.networks import UNet2d, apply_norm_map, list_norms, verify_norm_map
from normsearch.norms import clamp_gates, gate_parameters

BLOCKS = ["enc1", "enc2", "enc3", "enc4", "bottom", "dec4", "dec3", "dec2", "dec1"]
WIDTHS = [16, 32, 64, 128, 256, 128, 64, 32, 16]


def test_22_slots_by_name_channels_block_and_stage() -> None:
    want = []
    for block, width, level in zip(BLOCKS, WIDTHS, [1, 2, 3, 4, 5, 4, 3, 2, 1], strict=True):
        layers = ["up", "conv1", "conv2"] if block.startswith("dec") else ["conv1", "conv2"]
        want += [(f"{block}.{layer}.norm", width, block, f"level{level}") for layer in layers]
    slots = list_norms(UNet2d())
    assert [(slot.name, slot.channels, slot.block, slot.stage) for slot in slots] == want
    assert len(slots) == 22
    assert {(slot.spec, slot.dims) for slot in slots} == {("BN", 2)}


def test_slots_are_listed_in_the_order_of_execution() -> None:
    net = UNet2d(first_channels=4, depth=3)
    order: list[str] = []
    for slot in list_norms(net):
        net.get_submodule(slot.name).register_forward_hook(
            lambda *_, name=slot.name: order.append(name)
        )
    net(torch.randn(1, 1, 16, 24))
    assert order == [slot.name for slot in list_norms(net)]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shapes_and_slot_count(depth: int) -> None:
    net = UNet2d(in_channels=3, out_channels=5, first_channels=4, depth=depth, norm="IN")
    assert net(torch.randn(2, 3, 32, 48)).shape == (2, 5, 32, 48)
    assert len(list_norms(net)) == 2 * (2 * depth + 1) + depth


def test_initialisation_is_the_papers() -> None:
    net = UNet2d(seed=0)
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        assert (module.bias == torch.tensor(0.1)).all(), name
        pixels = module.kernel_size[0] * module.kernel_size[1]
        deviation = math.sqrt(2 / (pixels * module.in_channels))
        assert module.weight.abs().max() <= 2 * deviation
        if module.weight.numel() > 5000:  # a normal cut at two deviations keeps 0.8796 of them
            assert module.weight.std().item() == pytest.approx(0.8796 * deviation, rel=0.03), name


def test_seed_fixes_the_weights_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (UNet2d(first_channels=4, depth=1, seed=seed) for seed in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.head.weight, other.head.weight)
    torch.set_rng_state(state)
    torch.manual_seed(5)
    one = UNet2d(first_channels=4, depth=1)
    torch.manual_seed(5)
    two = UNet2d(first_channels=4, depth=1)
    assert torch.equal(one.head.weight, two.head.weight)


def test_norm_is_the_canonical_one_of_each_slot() -> None:
    slots = list_norms(UNet2d(norm="ILN(gate=clip)"))
    assert [slot.spec for slot in slots[:3]] == ["IN", "IN", "ILN(gate=clip)"]
    with pytest.raises(NormError, match=r"enc1\.conv1\.norm: GN-8 needs a channel count that 8"):
        UNet2d(first_channels=4, norm="GN-8")


def test_a_mixed_map_trains() -> None:
    net = UNet2d(first_channels=16, depth=2, seed=0)
    effective = apply_norm_map(
        net,
        {
            "*": "SN",
            "enc1.*": "GN-8",
            "enc2.conv1.norm": "ILN",
            "enc2.conv2.norm": "ILN(gate=softmax,regroup=none)",
            "bottom.*": "BIN",
            "dec2.up.*": "none",
            "dec1.conv1.norm": "LN",
            "dec1.conv2.norm": "GN-16",
        },
    )
    assert list(effective.values()) == (
        [
            "GN-8",
            "GN-8",
            "ILN",
            "ILN(gate=softmax,regroup=none)",
            "BIN",
            "BIN",
            "none",
            "SN",
            "SN",
            "SN",
            "LN",
            "IN",
        ]
    )
    x = torch.randn(3, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    verify_norm_map(net, x)
    target = (x > 0).float()
    gates = gate_parameters(net)
    before = [gate.detach().clone() for gate in gates]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(net(x), target)
        loss.backward()
        optimizer.step()
        clamp_gates(net)
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(gates, before, strict=True)) >= len(gates) - 2
    assert net.eval()(x).isfinite().all()


def test_the_same_map_gives_the_same_network_after_a_state_dict_round_trip() -> None:
    norm_map = {"*": "SN", "enc*": "BIN", "bottom.*": "ILN"}
    nets = [UNet2d(depth=1, seed=seed) for seed in (0, 1)]
    for net in nets:
        apply_norm_map(net, norm_map)
    x = torch.randn(2, 1, 8, 6)
    nets[0](x)
    nets[1].load_state_dict(nets[0].state_dict())
    assert torch.equal(nets[0].eval()(x), nets[1].eval()(x))


def test_sides_must_be_divisible() -> None:
    net = UNet2d(first_channels=2)
    message = (
        r"UNet2d of depth 4 needs two image sides that 16 divides, got 250 x 256; "
        r"pad or crop to 256 x 256"
    )
    with pytest.raises(NetworkError, match=message):
        net.check_size((250, 256))
    with pytest.raises(NetworkError, match=message):
        net(torch.zeros(1, 1, 250, 256))
    with pytest.raises(NetworkError, match="got 16 x 16 x 16; give it slices"):
        net.check_size((16, 16, 16))
    net.check_size((16, 32))


@pytest.mark.parametrize("setting", ["in_channels", "out_channels", "first_channels", "depth"])
def test_numbers_must_be_positive(setting: str) -> None:
    with pytest.raises(NetworkError, match=f"UNet2d: {setting} must be 1 or more, got 0"):
        UNet2d(**{setting: 0})
