"""The loss over several scales: nnU-Net's weights, labels by nearest neighbour."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.losses.ds_loss import DeepSupervisionLoss
from torch import Tensor

from normsearch.errors import NetworkError
from normsearch.labels import IGNORED
from normsearch.training import bce_dice_loss, cross_entropy_loss, dice_cross_entropy_loss
from normsearch.training.deep_supervision import labels_at, over_scales, scale_weights


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1]),
        (2, [2 / 3, 1 / 3]),
        (3, [4 / 6, 2 / 6, 0]),
        (4, [4 / 7, 2 / 7, 1 / 7, 0]),
        (5, [8 / 15, 4 / 15, 2 / 15, 1 / 15, 0]),
    ],
)
def test_the_weights_are_those_of_nnu_net(count: int, expected: list[float]) -> None:
    assert scale_weights(count) == pytest.approx(expected, rel=1e-12)


def logits(sides: list[tuple[int, ...]], classes: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, classes, *side, generator=generator) for side in sides]


SIDES = [(8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("sides", [SIDES, [(4, 8, 6), (4, 4, 3), (2, 2, 2)]])
def test_one_foreground_class_equals_monai(sides: Any) -> None:
    """MONAI brings float labels to each scale by nearest-exact too, as nnU-Net's loader does."""
    out = logits(sides, 1)
    truth = (torch.rand(2, 1, *sides[0], generator=torch.Generator().manual_seed(1)) > 0.6).float()
    expected = DeepSupervisionLoss(bce_dice_loss, weights=[4 / 6, 2 / 6, 0])(out, truth)
    assert over_scales(bce_dice_loss)(out, truth).item() == pytest.approx(expected.item(), rel=1e-6)


def nearest(classes: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The class at the centre of each larger voxel, by index."""
    for axis, side in enumerate(sides, 1):
        whole = classes.shape[axis]
        places = [int((place + 0.5) * whole / side) for place in range(side)]
        classes = classes.index_select(axis, torch.tensor(places))
    return classes


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_cross_entropy_loss])
def test_several_classes_are_the_weighted_sum_written_out(loss: Any) -> None:
    out = logits([*SIDES, (1, 1)], 3)
    truth = torch.randint(0, 3, (2, *SIDES[0]), generator=torch.Generator().manual_seed(2))
    truth[:, :3, :5] = IGNORED
    parts = [loss(one, nearest(truth, one.shape[2:])) for one in out[:3]]
    expected = (4 * parts[0] + 2 * parts[1] + parts[2]) / 7
    assert over_scales(loss)(out, truth).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("sides", [(4, 6), (3, 5), (1, 1), (8, 12)])
def test_labels_are_the_nearest_and_ignored_ones_stay(sides: tuple[int, ...]) -> None:
    truth = torch.randint(0, 3, (2, 8, 12), generator=torch.Generator().manual_seed(3))
    truth[truth == 2] = IGNORED
    found = labels_at(truth, sides)
    assert found.dtype == torch.int64
    assert torch.equal(found, nearest(truth, sides))
    as_floats = labels_at(truth[:, None].float(), sides)
    assert torch.equal(as_floats, found[:, None].float())


def test_a_stack_of_one_size_is_a_list() -> None:
    out = logits([SIDES[0]] * 3, 3)
    truth = torch.randint(0, 3, (2, *SIDES[0]))
    whole = over_scales(cross_entropy_loss)
    assert torch.equal(whole(torch.stack(out, 1), truth), whole(out, truth))


def test_whole_images_have_several_outputs_too() -> None:
    out = [torch.randn(4, 3), torch.randn(4, 3)]
    truth = torch.tensor([0, 2, 1, 1])
    expected = (2 * cross_entropy_loss(out[0], truth) + cross_entropy_loss(out[1], truth)) / 3
    found = over_scales(cross_entropy_loss)(out, truth)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_deep_supervision_the_first_output_counts_alone() -> None:
    out, truth = logits(SIDES, 3), torch.randint(0, 3, (2, *SIDES[0]))
    alone = over_scales(cross_entropy_loss, False)
    for given in (out, (out[0], None), out[0]):
        assert torch.equal(alone(given, truth), cross_entropy_loss(out[0], truth))


def test_one_tensor_has_its_loss_to_the_last_bit_in_float32() -> None:
    (out,), truth = logits([SIDES[0]], 1), torch.ones(2, 1, *SIDES[0])
    seen: list[torch.dtype] = []

    def loss(given: Tensor, labels: Tensor) -> Tensor:
        seen.append(given.dtype)
        return bce_dice_loss(given, labels)

    assert torch.equal(over_scales(loss)(out, truth), bce_dice_loss(out, truth))
    over_scales(loss)([out.bfloat16()] * 2, truth)
    assert seen == [torch.float32] * 3


def test_a_scale_of_weight_0_is_not_computed() -> None:
    out = [one.requires_grad_() for one in logits(SIDES, 1)]
    over_scales(bce_dice_loss)(out, torch.ones(2, 1, *SIDES[0])).backward()
    assert [one.grad is not None for one in out] == [True, True, False]


def test_other_outputs_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"several scales, in training, got a dict"):
        over_scales(bce_dice_loss)({"out": torch.zeros(1, 1, 2, 2)}, torch.zeros(1, 1, 2, 2))
