from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import NetworkError, NormError
from normsearch.networks import (
    ResNet,
    apply_norm_map,
    build_network,
    list_norms,
    verify_norm_map,
)
from normsearch.norms import NormSpec
from tests.specs import every_spec


def test_slots_in_order_of_execution() -> None:
    network = ResNet(widths=(16, 32), seed=0)
    slots = list_norms(network)
    verify_norm_map(network, torch.randn(2, 1, 8, 8))
    assert [slot.name for slot in slots] == [
        "stem.norm",
        "stage1.block1.conv1.norm",
        "stage1.block1.conv2.norm",
        "stage2.block1.conv1.norm",
        "stage2.block1.conv2.norm",
        "stage2.block1.shortcut.norm",
    ]
    assert [slot.channels for slot in slots] == [16, 16, 16, 32, 32, 32]
    assert [slot.block for slot in slots][-1] == "stage2.block1"
    assert [slot.stage for slot in slots] == ["stem"] + ["stage1"] * 2 + ["stage2"] * 3


def written_out(network: ResNet, x: Tensor) -> Tensor:
    """One block of stride 2 with `none` in every slot, from the weights alone."""
    w = dict(network.named_parameters())

    def conv(name: str, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
        return functional.conv2d(
            x, w[f"{name}.weight"], w[f"{name}.bias"], stride=stride, padding=padding
        )

    x = conv("stem.conv", x).relu()
    block = "stage1.block1"
    main = conv(f"{block}.conv2.conv", conv(f"{block}.conv1.conv", x, stride=2).relu())
    x = (main + conv(f"{block}.shortcut.conv", x, stride=2, padding=0)).relu()
    return functional.linear(x.flatten(2).mean(2), w["head.weight"].flatten(1), w["head.bias"])


def test_it_is_the_network_written_out() -> None:
    network = ResNet(2, 3, widths=[4], strides=[2], norm="none", seed=0)
    x = torch.randn(5, 2, 9, 7, generator=torch.Generator().manual_seed(1))
    found = network(x)
    assert found.shape == (5, 3)
    torch.testing.assert_close(found, written_out(network, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", every_spec(samples=2, groups=16))
def test_every_norm_fits_and_runs(spec: str) -> None:
    network = ResNet(depth=2, seed=0)
    owns = NormSpec.parse(spec).owns_activation  # then only before an activation, not a sum
    names = [slot.name for slot in list_norms(network) if slot.activation or not owns]
    assert len(names) == (3 if owns else 6)
    apply_norm_map(network, dict.fromkeys(names, spec))
    verify_norm_map(network, torch.randn(4, 1, 12, 12))


def test_a_norm_with_its_own_activation_is_refused_before_a_sum() -> None:
    with pytest.raises(NormError, match=r"^stage1.block1.conv2.norm: FRN is its own activation"):
        ResNet(norm="FRN", depth=1)


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (ResNet(seed=seed, depth=1).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_the_large_stem_quarters_the_image() -> None:
    sizes: list[torch.Size] = []
    network = ResNet(depth=1, stem="large", seed=0)
    network.get_submodule("stage1").register_forward_hook(lambda *of: sizes.append(of[2].shape))
    network(torch.randn(1, 1, 64, 64))
    assert sizes == [torch.Size([1, 16, 16, 16])]


def test_shortcuts_without_norms() -> None:
    names = [slot.name for slot in list_norms(ResNet(widths=(4, 8), shortcut_norm=False))]
    assert not any("shortcut" in name for name in names)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"blocks": [1, 2, 3]}, "blocks must be one number for each of 4 stages, got 3"),
        ({"strides": [1, 2, 0, 2]}, r"strides\[2\] must be 1 or more, got 0"),
        ({"widths": [4, 0]}, r"widths\[1\] must be 1 or more, got 0"),
        ({"stem": "huge"}, "stem must be small or large, got 'huge'"),
        ({"depth": 0}, "depth must be 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(NetworkError, match=told):
        build_network("resnet", **settings)


def test_volumes_are_refused() -> None:
    with pytest.raises(NetworkError, match="needs images with two sides, got 4 x 4 x 4"):
        ResNet().check_size((4, 4, 4))
