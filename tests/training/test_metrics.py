import math

import pytest
import torch

from normsearch.labels import IGNORED
from normsearch.training import classification_score, dice, mean_score, segmentation_score


def masks(prediction: list[int], truth: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(prediction).bool(), torch.tensor(truth).bool()


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [0, 1, 1, 1], 2 * 1 / (2 * 1 + 1 + 2)),
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0),
        ([0, 1, 0, 0], [0, 0, 0, 0], 0.0),
        ([1, 0, 0, 0], [0, 1, 0, 0], 0.0),
    ],
)
def test_counted_by_hand(prediction: list[int], truth: list[int], expected: float) -> None:
    assert dice(*masks(prediction, truth)) == expected


def test_both_empty_is_nan() -> None:
    assert math.isnan(dice(*masks([0, 0], [0, 0])))


def test_against_sets_of_voxels() -> None:
    generator = torch.Generator().manual_seed(2)
    prediction = torch.rand(4, 1, 9, 9, generator=generator) > 0.6
    truth = torch.rand(4, 1, 9, 9, generator=generator) > 0.7
    a, b = (set(map(tuple, mask.nonzero().tolist())) for mask in (prediction, truth))
    assert dice(prediction, truth) == pytest.approx(2 * len(a & b) / (len(a) + len(b)), abs=1e-15)


def test_counts_do_not_lose_voxels_beyond_float32() -> None:
    # 2**24 + 1 is no float32: a sum in float32 would lose the one voxel.
    prediction = torch.ones(2**24 + 1, dtype=torch.bool)
    truth = prediction.clone()
    truth[0] = False
    assert dice(prediction, truth) == 2 * 2**24 / (2**24 + 2**24 + 1)


def test_the_mean_leaves_out_cases_without_dice() -> None:
    assert mean_score([0.25, math.nan, 0.75]) == 0.5
    assert math.isnan(mean_score([math.nan]))
    assert math.isnan(mean_score([]))


def test_the_mean_does_not_depend_on_the_order() -> None:
    values = [0.1 * k + 1e-12 * k**3 for k in range(11)]
    assert mean_score(values) == mean_score(values[::-1])


def test_one_foreground_is_scored_as_its_dice_with_the_counts() -> None:
    logits = torch.tensor([1.0, 2.0, -1.0, -1.0, 3.0]).view(1, 1, 1, 5)
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]).view(1, 1, 1, 5)
    found = segmentation_score(logits, truth)
    assert found == {"score": 4 / 6, "dice_1": 4 / 6, "tp_1": 2, "fp_1": 1, "fn_1": 1}


def of_classes(classes: list[int]) -> torch.Tensor:
    """Logits (1, 4, 1, voxels) whose greatest are of these classes."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 4).float().T[None, :, None]


def test_several_classes_are_scored_by_their_mean_without_background() -> None:
    truth = torch.tensor([0, 1, 1, 2, 2, 0]).view(1, 1, 6)
    found = segmentation_score(of_classes([0, 1, 0, 2, 1, 3]), truth)
    assert {name: found[name] for name in ("tp_1", "fp_1", "fn_1")} == {
        "tp_1": 1, "fp_1": 1, "fn_1": 1,
    }  # fmt: skip
    assert (found["dice_1"], found["dice_2"]) == (2 / 4, 2 / 3)
    assert found["dice_3"] == 0  # called, but not there
    assert found["score"] == pytest.approx((2 / 4 + 2 / 3 + 0) / 3, abs=1e-15)


def test_a_class_that_neither_side_holds_is_left_out() -> None:
    found = segmentation_score(of_classes([0, 1, 2]), torch.tensor([0, 1, 2]).view(1, 1, 3))
    assert math.isnan(found["dice_3"])
    assert found["score"] == 1
    nothing = segmentation_score(of_classes([0, 0]), torch.zeros(1, 1, 2, dtype=torch.long))
    assert math.isnan(nothing["score"])


def test_the_global_dice_follows_from_the_counts_of_all_cases() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 2, 3, 6, 7, generator=generator)
    truth = torch.randint(0, 3, (3, 2, 6, 7), generator=generator)
    cases = [segmentation_score(*one) for one in zip(logits, truth, strict=True)]
    tp, fp, fn = (sum(case[f"{name}_2"] for case in cases) for name in ("tp", "fp", "fn"))
    whole = dice(logits.argmax(2) == 2, truth == 2)
    assert 2 * tp / (2 * tp + fp + fn) == pytest.approx(whole, abs=1e-15)


@pytest.mark.parametrize(("true", "score"), [(2, 1.0), (0, 0.0)])
def test_an_image_is_scored_by_its_class(true: int, score: float) -> None:
    found = classification_score(torch.tensor([[0.1, -3.0, 0.7]]), torch.tensor([true]))
    assert found == {"score": score, "predicted": 2, "true": true}


def test_ignored_voxels_count_as_empty_on_both_sides() -> None:
    logits = torch.tensor([1.0, 2.0, -1.0, 4.0, -3.0]).view(1, 1, 1, 5)
    truth = torch.tensor([1.0, IGNORED, 1.0, IGNORED, IGNORED]).view(1, 1, 1, 5)
    found = segmentation_score(logits, truth)
    assert found == {"score": 2 / 3, "dice_1": 2 / 3, "tp_1": 1, "fp_1": 0, "fn_1": 1}
    classes = torch.tensor([0, IGNORED, 1, IGNORED, 2]).view(1, 1, 5)
    found = segmentation_score(of_classes([1, 1, 1, 3, 2]), classes)
    assert [found[f"dice_{one}"] for one in (1, 2)] == [2 / 3, 1]
    assert math.isnan(found["dice_3"])  # called, but only where nobody looked
    assert (found["fp_1"], found["fp_3"]) == (1, 0)


def test_a_case_of_ignored_voxels_alone_has_no_score() -> None:
    truth = torch.full((1, 1, 2, 2), float(IGNORED))
    assert math.isnan(segmentation_score(torch.ones(1, 1, 2, 2), truth)["score"])
