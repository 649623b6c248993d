"""Measures of cases as stored, against all of their voxels."""

from __future__ import annotations

import numpy as np
import pytest

from normsearch.data import Preparation
from normsearch.data.measures import DRAWN, foreground_of, measures_of
from normsearch.data.reading import RawCase

PREPARATION = Preparation(intensity="minmax", classes=(1, 2), ignore=(9,))


def raw(number: int = 0, shift: float = 0.0) -> RawCase:
    random = np.random.default_rng(number)
    label = random.choice([0, 1, 2, 3, 9], (5, 20, 20)).astype(np.uint8)
    image = random.normal(10.0 * label + shift, 3.0).astype(np.float32)[None]
    return RawCase(image, label, (2.0, 1.0, 1.0), (0, 1, 2, 3, 9))


def test_the_foreground_is_that_of_the_chosen_classes() -> None:
    """Not of values that become background, and not of voxels that nobody annotated."""
    case = raw()
    drawn = measures_of(case, PREPARATION).foreground
    assert drawn.shape == (1, DRAWN)
    inside = case.image[0][np.isin(case.label, (1, 2))]
    assert set(drawn[0]) <= set(inside.astype(np.float64))
    assert drawn.mean() == pytest.approx(inside.mean(), abs=0.3)
    assert np.array_equal(drawn, measures_of(case, PREPARATION).foreground)


def test_the_statistics_are_those_of_the_drawn_voxels_of_all_cases() -> None:
    cases = [measures_of(raw(number, 100.0 * number), PREPARATION) for number in range(3)]
    (row,) = foreground_of(cases)
    values = np.concatenate([one.foreground[0] for one in cases])
    expected = (*np.percentile(values, (0.5, 99.5)), values.mean(), values.std())
    assert row == pytest.approx(expected)
    assert foreground_of(reversed(cases))[0] == pytest.approx(row)


def test_a_small_organ_counts_as_much_as_a_large_one() -> None:
    small, large = raw(1), raw(2, 1000.0)
    small.label[:] = 0
    small.label[0, 0, 0] = 1
    small.image[0, 0, 0, 0] = 0.0
    (row,) = foreground_of([measures_of(small, PREPARATION), measures_of(large, PREPARATION)])
    inside = large.image[0][np.isin(large.label, (1, 2))]
    assert row[2] == pytest.approx(inside.mean() / 2, rel=0.01)


def test_a_case_without_foreground_counts_for_nothing() -> None:
    empty, full = raw(1), measures_of(raw(2), PREPARATION)
    empty.label[:] = 3
    found = measures_of(empty, PREPARATION)
    assert found.foreground.shape == (1, 0)
    assert foreground_of([found, full]) == foreground_of([full])
    assert foreground_of([found]) == ()


def test_the_shape_is_that_of_what_is_not_zero() -> None:
    image = np.zeros((2, 6, 9, 12))
    image[0, 1:4, 2, 3:9], image[1, 2, 5, 5] = 1, -1
    case = RawCase(image, np.zeros((6, 9, 12), np.uint8), (1.0, 1.0, 1.0), (0,))
    assert measures_of(case, PREPARATION).shape == (3, 4, 6)
    nothing = RawCase(0 * image, case.label, case.spacing, (0,))
    assert measures_of(nothing, PREPARATION).shape == (6, 9, 12)
