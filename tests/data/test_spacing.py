"""Target spacings of data sets, against nnU-Net's rule written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normsearch.data.spacing import coarse_axis, median_spacing, spacing_text, unknown_axes

THIN = [(12, 200, 200)] * 5


def test_the_median_of_each_axis() -> None:
    spacings = [(1.0, 0.5, 0.7), (3.0, 0.6, 0.5), (2.0, 0.9, 0.6)]
    assert median_spacing(spacings, [(99, 99, 99)] * 3) == (2.0, 0.6, 0.6)
    assert median_spacing([(1.0, 4.0), (2.0, 5.0)], [(9, 9)] * 2) == (1.5, 4.5)  # y and x alone


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_coarse_axis_gets_the_10th_percentile(axis: int) -> None:
    steps = [5.0, 8.0, 10.0, 10.0, 10.0]
    spacings = [tuple(np.roll((step, 1.5, 1.0), axis)) for step in steps]
    shapes = [tuple(np.roll(shape, axis)) for shape in THIN]
    found = median_spacing(spacings, shapes)
    expected = np.roll((np.percentile(steps, 10), 1.5, 1.0), axis)
    np.testing.assert_allclose(found, expected)
    assert np.percentile(steps, 10) == pytest.approx(6.2)


def test_a_coarse_axis_is_no_finer_than_the_others() -> None:
    spacings = [(step, 1.5, 1.0) for step in (0.5, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0)]
    spacings[1] = (0.6, 1.5, 1.0)
    assert median_spacing(spacings, THIN[:1] * 8) == pytest.approx((1.5 + 1e-5, 1.5, 1.0), abs=1e-9)


@pytest.mark.parametrize(
    ("coarse", "shape"),
    [
        (4.5, (12, 200, 200)),  # not more than three times 1.5
        (10.0, (70, 200, 200)),  # not fewer voxels by three times
    ],
)
def test_the_median_holds_where_one_condition_is_missing(
    coarse: float, shape: tuple[int, ...]
) -> None:
    spacings = [(2.0, 1.5, 1.0), (coarse, 1.5, 1.0), (coarse, 1.5, 1.0)]
    assert median_spacing(spacings, [shape] * 3) == (coarse, 1.5, 1.0)


@pytest.mark.parametrize(
    ("spacings", "axis"),
    [
        ([(3.0, 1.0, 1.0), (1.0, 1.0, 1.0)], None),  # three times is not more than three times
        ([(3.1, 1.0, 1.0), (1.0, 1.0, 1.0)], 0),
        ([(1.0, 1.0, 1.0), (1.0, 1.0, 3.1)], 2),
        ([(4.0, 1.0, 1.0), (1.0, 1.0, 5.0)], 0),  # the first decides
        ([(0.2, 1.0, 1.0), (5.0, 1.0, 1.0)], None),  # also where two axes are its coarsest
        ([(math.nan, 4.0, 1.0)], 1),
        ([(math.nan,) * 3], None),
    ],
)
def test_the_axis_apart(spacings: list[tuple[float, ...]], axis: int | None) -> None:
    assert coarse_axis(*spacings) == axis


def test_unknown_spacings_matter_along_the_axes_of_the_target() -> None:
    spacing = (math.nan, 0.5, 0.5)
    assert unknown_axes(spacing, (0.5, 0.5)) == []
    assert unknown_axes(spacing, (1.0, 0.5, 0.5)) == ["slices"]


def test_a_spacing_in_words() -> None:
    assert spacing_text((1, 1, 1)) == "1.0 x 1.0 x 1.0 mm"
    assert spacing_text((0.69999999, 0.5)) == "0.7 x 0.5 mm"
