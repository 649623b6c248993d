"""Resampling against interpolation written out point by point, and against SimpleITK."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from normsearch.data import Resampling, resampling_to
from normsearch.errors import DataError
from normsearch.labels import IGNORED

Array = npt.NDArray[np.float32]
ALIKE = (1.0, 1.0, 1.0)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def at_centres(values: npt.NDArray, shape: tuple[int, ...], order: int) -> npt.NDArray:
    """Interpolate at the centres of new voxels, whose field of view is that of the old ones."""
    axes = [
        (np.arange(new) + 0.5) * old / new - 0.5
        for old, new in zip(values.shape, shape, strict=True)
    ]
    grid = np.meshgrid(*axes, indexing="ij")
    return ndimage.map_coordinates(values.astype(np.float64), grid, order=order, mode="nearest")


@pytest.mark.parametrize("target", [(1.4, 1.5, 0.5), (0.7, 1.0, 1.3), (1.0, 2.5, 1.0)])
def test_an_image_is_interpolated_by_cubic_splines(target: tuple[float, ...]) -> None:
    image = noise(7, 2, 10, 9)
    found = resampling_to((7, 10, 9), ALIKE, target).image(image)
    shape = tuple(round(side / step) for side, step in zip((7, 10, 9), target, strict=True))
    assert found.dtype == np.float32
    assert found.shape == (shape[0], 2, *shape[1:])
    for channel in range(2):
        given = image[:, channel]
        expected = at_centres(given, shape, 3).clip(given.min(), given.max())
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-5)


@pytest.mark.parametrize("coarse", [0, 1, 2])
def test_planes_across_a_coarse_axis_are_interpolated_alone(coarse: int) -> None:
    """In each plane by splines within its own range; the new planes are the nearest ones."""
    spacing = tuple(5.0 if axis == coarse else 1.0 for axis in range(3))
    target = tuple(3.5 if axis == coarse else 0.8 for axis in range(3))
    volume = noise(6, 7, 8)
    found = resampling_to((6, 7, 8), spacing, target).image(volume[:, None])[:, 0]
    shape = [round(s / t * n) for s, t, n in zip(spacing, target, (6, 7, 8), strict=True)]
    expected = []
    for number in range(shape[coarse]):
        nearest = math.floor((number + 0.5) * volume.shape[coarse] / shape[coarse])
        plane = np.take(volume, nearest, coarse)
        sides = tuple(side for axis, side in enumerate(shape) if axis != coarse)
        expected.append(at_centres(plane, sides, 3).clip(plane.min(), plane.max()))
    np.testing.assert_allclose(found, np.stack(expected, coarse), atol=1e-5)


def itk_resampled(volume: Array, spacing: tuple[float, ...], shape: tuple[int, ...]) -> Array:
    """Resample with SimpleITK to a grid of the same field of view, by cubic B-splines."""
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(spacing[::-1])
    steps = [s * old / new for s, old, new in zip(spacing, volume.shape, shape, strict=True)]
    origin = [(new - old) / 2 for new, old in zip(steps, spacing, strict=True)]
    return sitk.GetArrayFromImage(
        sitk.Resample(
            image, shape[::-1], sitk.Transform(), sitk.sitkBSpline, origin[::-1], steps[::-1]
        )
    )


def test_simpleitk_gives_the_same_inside_of_an_image() -> None:
    volume = ndimage.gaussian_filter(noise(24, 26, 28), 1.5)
    volume = np.pad(volume[8:16, 8:18, 8:20], 8, mode="edge")  # the borders are treated unlike
    spacing, shape = (1.0, 0.9, 1.1), (20, 27, 33)
    target = tuple(s * o / n for s, o, n in zip(spacing, volume.shape, shape, strict=True))
    way = resampling_to(volume.shape, spacing, target)
    assert way.new_shape == shape
    expected = itk_resampled(volume, spacing, shape)
    inside = (slice(6, -6),) * 3
    found = way.image(volume[:, None])[:, 0]
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3 * np.ptp(volume))


def test_splines_do_not_leave_the_range_of_the_values() -> None:
    step = np.zeros((1, 1, 1, 12), np.float32)
    step[..., 6:] = 1
    found = resampling_to((1, 1, 12), ALIKE, (1.0, 1.0, 0.3)).image(step)
    assert (found.min(), found.max()) == (0.0, 1.0)


@pytest.mark.parametrize("target", [(2.0, 2.0, 2.0), (0.6, 0.7, 0.8), (1.0, 1.0, 4.0)])
def test_of_the_classes_of_a_label_the_largest_wins(target: tuple[float, ...]) -> None:
    random = np.random.default_rng(3)
    blocks = random.choice([0, 1, 2, IGNORED], (3, 4, 4)).astype(np.uint8)
    label = blocks.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    way = resampling_to(label.shape, ALIKE, target)
    found = way.label(label)
    classes = np.array([0, 1, 2, IGNORED])
    if way.coarse is None:
        shares = [at_centres(label == index, way.new_shape, 1) for index in classes]
    else:
        sides = way.new_shape[:2]
        planes = np.floor((np.arange(way.new_shape[2]) + 0.5) * label.shape[2] / way.new_shape[2])
        near = label[:, :, planes.astype(int)]
        shares = [
            np.stack([at_centres(near[..., k] == index, sides, 1) for k in range(near.shape[2])], 2)
            for index in classes
        ]
    best = np.stack(shares)
    winner = classes[len(classes) - 1 - best[::-1].round(5).argmax(0)]  # of equal ones the greater
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, winner)
    assert set(np.unique(found)) == {0, 1, 2, IGNORED}  # none between 2 and 255


@pytest.mark.parametrize("spacing", [ALIKE, (4.0, 1.0, 1.0)])
def test_logits_come_back_linearly(spacing: tuple[float, float, float]) -> None:
    way = resampling_to((5, 9, 8), spacing, (1.3, 0.7, 1.6))
    logits = noise(way.new_shape[0], 3, *way.new_shape[1:])
    found = way.back(torch.from_numpy(logits)).numpy()
    assert found.shape == (5, 3, 9, 8)
    for channel in range(3):
        given = logits[:, channel]
        if way.coarse_back is None:
            expected = at_centres(given, (5, 9, 8), 1)
        else:
            assert way.coarse_back == 0
            planes = np.floor((np.arange(5) + 0.5) * len(given) / 5).astype(int)
            expected = np.stack([at_centres(given[plane], (9, 8), 1) for plane in planes])
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-5)


def test_the_own_spacing_is_asked_first_on_the_way_there_and_last_on_the_way_back() -> None:
    way = resampling_to((5, 9, 8), (4.0, 1.0, 1.0), (1.0, 1.0, 5.0))
    assert (way.coarse, way.coarse_back) == (0, 2)


def test_slices_are_kept_where_the_target_is_of_rows_and_columns() -> None:
    way = resampling_to((5, 8, 8), (math.nan, 1.0, 1.0), (0.5, 2.0))
    assert way.new_shape == (5, 16, 4)
    with pytest.raises(DataError, match=r"to 1\.0 x 0\.5 x 2\.0 mm, and is unknown along slices"):
        resampling_to((5, 8, 8), (math.nan, 1.0, 1.0), (1.0, 0.5, 2.0))


def test_nothing_changes_on_an_equal_grid() -> None:
    way = resampling_to((5, 8, 8), (1.0, 0.99, 1.0), ALIKE)
    image, label = noise(5, 1, 8, 8), np.ones((5, 8, 8), np.uint8)
    assert not way.changes
    assert way.image(image) is image
    assert way.label(label) is label
    assert torch.equal(way.back(torch.from_numpy(image)), torch.from_numpy(image))
    assert Resampling((5, 8, 8), (5, 8, 8)).coarse is None


def test_an_image_keeps_a_voxel_along_each_axis() -> None:
    assert resampling_to((1, 4, 4), ALIKE, (9.0, 9.0, 9.0)).new_shape == (1, 1, 1)
