import math

import pytest
import torch

from normsearch.training import dice, mean_dice


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
    assert mean_dice({"a": 0.25, "b": math.nan, "c": 0.75}) == 0.5
    assert math.isnan(mean_dice({"a": math.nan}))
    assert math.isnan(mean_dice({}))


def test_the_mean_does_not_depend_on_the_order() -> None:
    values = [0.1 * k + 1e-12 * k**3 for k in range(11)]
    assert mean_dice(dict(enumerate(values))) == mean_dice(dict(enumerate(reversed(values))))  # type: ignore[arg-type]
