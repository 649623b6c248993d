"""Surface distances against hand-made masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from normsearch.errors import DataError
from normsearch.training.surface import surface_scores

SPACING = (3.0, 1.0, 2.0)


def box(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((12, 12, 12), bool)
    mask[z, y, x] = True
    return mask


TRUTH = box(slice(3, 8), slice(3, 8), slice(3, 8))


def test_equal_masks() -> None:
    assert surface_scores(TRUTH, TRUTH, SPACING) == (0.0, 1.0, False)


@pytest.mark.parametrize(("axis", "step"), list(enumerate(SPACING)))
def test_a_shift_by_one_voxel_is_one_spacing(axis: int, step: float) -> None:
    moved = np.roll(TRUTH, 1, axis)
    scores = surface_scores(moved, TRUTH, SPACING, tolerance=step)
    assert scores.hd95 == pytest.approx(step)
    assert scores.surface_dice == pytest.approx(1.0)
    assert surface_scores(moved, TRUTH, SPACING, tolerance=step / 2).surface_dice < 0.8


def test_hd95_is_that_of_all_distances_between_edge_voxels() -> None:
    random = np.random.default_rng(0)
    masks = [ndimage.gaussian_filter(random.normal(size=(9, 14, 14)), 1.5) > 0 for _ in range(2)]
    edges = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * SPACING for mask in masks]
    distances = cdist(*edges)
    expected = max(np.percentile(distances.min(axis), 95) for axis in (0, 1))
    assert surface_scores(*masks, SPACING).hd95 == pytest.approx(expected)  # type: ignore[call-arg]


@pytest.mark.parametrize("missing", ["prediction", "truth"])
def test_a_missed_case_is_the_worst_and_not_left_out(missing: str) -> None:
    empty = np.zeros_like(TRUTH)
    pair = (empty, TRUTH) if missing == "prediction" else (TRUTH, empty)
    scores = surface_scores(*pair, SPACING)
    assert scores == (pytest.approx(math.sqrt(36**2 + 12**2 + 24**2)), 0.0, True)
    far = box(slice(0, 1), slice(0, 1), slice(0, 1))
    assert scores.hd95 > surface_scores(far, TRUTH, SPACING).hd95


def test_two_empty_masks_have_no_score() -> None:
    empty = np.zeros_like(TRUTH)
    scores = surface_scores(empty, empty, SPACING)
    assert math.isnan(scores.hd95)
    assert math.isnan(scores.surface_dice)
    assert not scores.missed


def test_two_dimensions() -> None:
    assert surface_scores(np.roll(TRUTH[5], 2, 1), TRUTH[5], (1.0, 0.5)).hd95 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("prediction", "spacing", "says"),
    [
        (TRUTH[1:], SPACING, r"must fit one another, got \(11, 12, 12\)"),
        (TRUTH, (1.0, 1.0), "must fit one another"),
        (TRUTH, (math.nan, 1.0, 1.0), "need a spacing above 0 per axis"),
    ],
)
def test_what_has_no_distance(
    prediction: np.ndarray, spacing: tuple[float, ...], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        surface_scores(prediction, TRUTH, spacing)
