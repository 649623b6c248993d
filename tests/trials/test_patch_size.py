"""The size of patches by memory: counted by hand for a small network, and chosen in proportion."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.data import Case
from normsearch.errors import ConfigError, NetworkError
from normsearch.networks import build_network
from normsearch.trials.patch_size import (
    StepMemory,
    largest_size,
    size_step,
    step_memory,
    with_patch_size,
)
from normsearch.trials.trial_network import build_trial_network

GIB = 2**30


@pytest.mark.parametrize(
    ("network", "axes", "step"),
    [
        (build_network("unet2d", depth=1, first_channels=2), 2, 2),
        (build_network("unet2d", depth=5, first_channels=2), 2, 32),
        (build_network("res_unet3d", depth=2, first_channels=2), 3, 4),
        (nn.Conv2d(1, 1, 3, padding=1), 2, 1),
        (nn.Sequential(nn.MaxPool3d(8), nn.Upsample(scale_factor=8)), 3, 8),
    ],
    ids=["unet1", "unet5", "res3d", "conv", "pool"],
)
def test_what_sides_must_be_multiples_of(network: nn.Module, axes: int, step: int) -> None:
    assert size_step(network, 1, axes) == step
    for sides in ([5 * step] * axes, [3 * step, *[7 * step] * (axes - 1)]):
        assert network(torch.zeros(1, 1, *sides)).shape[2:] == torch.Size(sides)


def test_a_network_that_accepts_no_size() -> None:
    with pytest.raises(
        ConfigError, match=r"task\.size: must be given for Conv2d, which accepts no mult"
    ):
        size_step(nn.Conv2d(1, 1, 3), 1, 2)  # without padding its output is smaller


@pytest.mark.parametrize("dims", [2, 3])
def test_the_memory_of_a_step_counted_by_hand(dims: int) -> None:
    conv: Any = nn.Conv2d if dims == 2 else nn.Conv3d
    network = nn.Sequential(conv(2, 8, 3, padding=1), nn.ReLU(), conv(8, 1, 3, padding=1))
    found = step_memory(network, [(1, 2, *[8] * dims), (1, 2, 16, *[8] * (dims - 1))], "off")
    # Kept are the image (2 channels), the output of the ReLU (8), which is the second convolution's
    # input too, and the sigmoid of the logits (1); the largest counts four times more,
    # and all a fifth more.
    assert found.each == pytest.approx(1.2 * 4 * (2 + 8 + 1 + 4 * 8), rel=1e-12)
    weights = sum(weight.numel() for weight in network.parameters())
    assert found.fixed == 4 * 4 * weights
    assert found.of(3, (10, 12)) == found.fixed + 3 * 120 * found.each


def test_half_precision_takes_less() -> None:
    network = build_network("unet2d", depth=2, first_channels=4)
    shapes = [(1, 1, 16, 16), (1, 1, 32, 16)]
    full, half = (step_memory(network, shapes, amp) for amp in ("off", "bfloat16"))
    assert 0.4 * full.each < half.each < 0.9 * full.each


class Scales(nn.Module):
    """Returns logits at two scales in training, and those of the first in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1, stride=2)

    def forward(self, images: torch.Tensor) -> Any:
        both = [self.first(images), self.second(images)]
        return both if self.training else both[0]


def test_a_network_of_several_scales_keeps_those_of_each() -> None:
    shapes = [(1, 1, 8, 8), (1, 1, 16, 8)]
    # Kept are the image, the sigmoid of the logits, and of a quarter as many of the second scale.
    assert step_memory(Scales(), shapes, "off").each == pytest.approx(1.2 * 4 * (1 + 1.25 + 4))


def test_a_network_that_returns_a_mapping_is_refused_in_a_sentence() -> None:
    network = nn.Conv2d(1, 1, 1)
    network.register_forward_hook(lambda _, inputs, out: {"out": out})
    with pytest.raises(NetworkError, match=r"Conv2d: must return logits, or a list .* got a dict"):
        step_memory(network, [(1, 1, 8, 8), (1, 1, 16, 8)], "off")


def test_the_memory_of_a_larger_step_is_foretold() -> None:
    network = build_network("unet2d", depth=2, first_channels=4)
    small = step_memory(network, [(1, 1, 16, 16), (1, 1, 32, 16)], "off")
    large = step_memory(network, [(2, 1, 64, 48), (2, 1, 64, 96)], "off")
    for batch, size in ((1, (64, 64)), (4, (128, 96))):
        assert small.of(batch, size) == pytest.approx(large.of(batch, size), rel=0.02)


@pytest.mark.parametrize("median", [(36, 50, 35), (20, 512, 512), (64, 64), (160, 40)])
@pytest.mark.parametrize("step", [1, 8, 16])
@pytest.mark.parametrize("limit", [3e3, 1e4, 1e5, 1e9])
def test_the_largest_size_of_the_median_proportions(
    median: tuple[int, ...], step: int, limit: float
) -> None:
    memory = StepMemory(100.0, 0.5)
    if memory.of(2, [step] * len(median)) > limit:
        with pytest.raises(ConfigError, match=r"task\.memory: must hold .* the smallest"):
            largest_size(median, step, memory, 2, limit)
        return
    found = largest_size(median, step, memory, 2, limit)
    whole = [math.ceil(side / step) * step for side in median]
    assert memory.of(2, found) <= limit
    assert all(
        side % step == 0 and 0 < side <= most for side, most in zip(found, whole, strict=True)
    )
    if list(found) == whole:
        return
    # One step more along the side that was reduced last would not fit.
    ratios = [(side + step) / most for side, most in zip(found, median, strict=True)]
    grown = [
        [side + step * (axis == own) for axis, side in enumerate(found)]
        for own in range(len(found))
        if found[own] < whole[own]
    ]
    assert any(memory.of(2, sides) > limit for sides in grown)
    free = [ratio for ratio, side in zip(ratios, found, strict=True) if side > step]
    spread = [side / most for side, most in zip(found, median, strict=True) if side > step]
    assert not free or max(spread) <= min(free) + 1e-9


def study(size: Any = "auto", **given: Any) -> StudyConfig:
    raw = {
        "name": "s",
        "task": {"data": "made-up", "sample": "patch", "size": size, **given.pop("task", {})},
        "network": {"name": "unet2d", "first_channels": 8, "depth": 2},
        "space": {"norm": {"choices": ["BN", "GN"]}, "learning_rate": 0.1, "batch_size": [2, 4]},
        **given,
    }
    return validate(StudyConfig, raw, "s.yaml")


def cases(*sides: tuple[int, int, int]) -> list[Case]:
    return [
        Case(str(n), str(n), "", np.zeros((z, 1, y, x), np.float32), np.ones((z, y, x), np.uint8),
             (1.0, 1.0, 1.0)) for n, (z, y, x) in enumerate(sides)
    ]  # fmt: skip


SIDES = [(5, 90, 60), (7, 100, 70), (9, 200, 80)]


@pytest.mark.parametrize("gib", [0.004, 0.02, 8])
def test_a_study_gets_the_size_that_fits_its_largest_batch(gib: float) -> None:
    config, (told,) = with_patch_size(study(task={"memory": gib}), cases(*SIDES))
    size = config.task.sides
    assert len(size) == 2
    assert all(side % 4 == 0 for side in size)
    network = build_trial_network(config.network, 1)
    memory = step_memory(network, [(1, 1, 32, 32), (1, 1, 64, 32)], "off")
    assert memory.of(4, size) <= gib * GIB * 1.01
    if gib == 8:
        assert size == (100, 72)  # the median image
    else:
        assert memory.of(4, [side + 4 for side in size]) > gib * GIB * 0.99
        assert size[0] / 100 == pytest.approx(size[1] / 70, abs=0.1)
    assert f"patches of {size[0]} x {size[1]}, for a median image of 100 x 70" in told
    assert f"of the {gib:g} GiB of task.memory" in told


def test_a_network_of_volumes_gets_patches_of_volumes() -> None:
    own = study(network={"name": "res_unet3d", "first_channels": 4, "depth": 2})
    assert with_patch_size(own, cases(*SIDES))[0].task.size == (8, 100, 72)


def test_a_size_that_is_given_is_kept() -> None:
    given = study([16, 16])
    assert with_patch_size(given, cases(*SIDES)) == (given, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"task": {"memory": 1e-6}},
            r"^task\.memory: must hold a training step of 4 patches of 4 x",
        ),
        ({"trainer": "m:f"}, r"^task\.size: must be given for a training loop of your own"),
        ({"task": {"augmentation": {"flip": ["z"]}}}, "can be flipped along y and x, got z"),
    ],
)
def test_no_size_can_be_chosen(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_patch_size(study(**given), cases(*SIDES))
