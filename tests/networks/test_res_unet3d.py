from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import NetworkError, NormError
from normsearch.networks import ResUNet3d, build_network, list_norms, verify_norm_map


def net(**settings: int | str) -> ResUNet3d:
    given = {"first_channels": 2, "depth": 2, "norm": "none", "seed": 0, **settings}
    return ResUNet3d(**given)  # type: ignore[arg-type]


def test_18_slots_in_the_order_in_which_they_run() -> None:
    network = ResUNet3d(first_channels=2, depth=4, norm="none")
    blocks = [*(f"enc{i}" for i in range(1, 5)), "bottom", *(f"dec{i}" for i in range(4, 0, -1))]
    names = [f"{block}.conv{i}.norm" for block, i in product(blocks, (1, 2))]
    slots = list_norms(network)
    assert [slot.name for slot in slots] == names
    ran: list[str] = []
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    network(torch.zeros(1, 1, 16, 16, 16))
    assert ran == names
    assert slots[0].stage == slots[-1].stage == "level1"
    assert {slot.stage for slot in slots if slot.block == "bottom"} == {"level5"}


def test_its_default_channels_double_from_32_so_that_32_groups_fit() -> None:
    with torch.device("meta"):
        slots = list_norms(ResUNet3d())
    assert [slot.channels for slot in slots[:10:2]] == [32, 64, 128, 256, 512]
    assert [slot.channels for slot in slots[10::2]] == [256, 128, 64, 32]


def written_out(network: ResUNet3d, x: Tensor) -> Tensor:
    """The network at depth 2 with `none` in every slot, from its weights alone."""
    weights = dict(network.named_parameters())

    def pair(name: str) -> tuple[Tensor, Tensor]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def block(name: str, x: Tensor) -> Tensor:
        x = functional.conv3d(x, *pair(f"{name}.conv1.conv"), padding=2, dilation=2).relu()
        return functional.conv3d(x, *pair(f"{name}.conv2.conv"), padding=1).relu()

    def join(*parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)

    first = block("enc1", x)
    pooled = functional.max_pool3d(join(x, first), 2)
    second = block("enc2", pooled)
    pooled = functional.max_pool3d(join(pooled, second), 2)
    x = join(pooled, block("bottom", pooled))
    for level, skip in ((2, second), (1, first)):
        x = join(functional.conv_transpose3d(x, *pair(f"up{level}"), stride=2), skip)
        x = join(x, block(f"dec{level}", x))
    return functional.conv3d(x, *pair("head"))


def test_it_is_the_network_written_out() -> None:
    network = net(in_channels=2, out_channels=3)
    x = torch.randn(2, 2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    assert network(x).shape == (2, 3, 4, 8, 12)
    torch.testing.assert_close(network(x), written_out(network, x), rtol=1e-5, atol=1e-6)


def test_weights_are_glorot_uniform_and_biases_zero() -> None:
    network = net(first_channels=16)
    conv = network.get_submodule("enc2.conv2.conv")
    assert isinstance(conv, nn.Conv3d)
    bound = (6 / (27 * (32 + 32))) ** 0.5
    assert bound * 0.99 < conv.weight.abs().max() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not any(bias.any() for name, bias in network.named_parameters() if "bias" in name)


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (net(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("spec", ["BN", "IN", "GN-2", "SN", "BIN", "WS+GN-2"])
def test_norms_sit_where_the_map_says(spec: str) -> None:
    network = net(norm=spec, first_channels=4)
    verify_norm_map(network, torch.randn(2, 1, 8, 8, 8))
    assert {slot.spec for slot in list_norms(network)} == {spec}


@pytest.mark.parametrize(
    ("size", "cure"),
    [
        (
            (4, 8, 6),
            "needs three image sides that 4 divides, got 4 x 8 x 6; pad or crop to 4 x 8 x 8",
        ),
        ((8, 8), "got 8 x 8; give it slabs or volumes"),
        ((0, 8, 8), "pad or crop to 4 x 8 x 8"),
    ],
)
def test_a_size_that_does_not_fit_is_told_with_its_cure(size: tuple[int, ...], cure: str) -> None:
    with pytest.raises(NetworkError, match=cure):
        net().check_size(size)


def test_impossible_settings() -> None:
    with pytest.raises(NetworkError, match="ResUNet3d: depth must be 1 or more, got 0"):
        net(depth=0)
    with pytest.raises(NormError, match=r"enc1\.conv1\.norm"):
        net(norm="GN-3")


def test_it_is_registered() -> None:
    assert isinstance(build_network("res_unet3d", first_channels=2, depth=1), ResUNet3d)
