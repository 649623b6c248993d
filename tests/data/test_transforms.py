"""Intensities by the body and by the foreground of the training cases, against formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms.intensity.array import NormalizeIntensity

from normsearch.data.transforms import body_of, normalized, normalized_image
from normsearch.errors import DataError


def head(seed: int = 0) -> np.ndarray:
    """A ball of values of about 100 in a volume of zeros."""
    z, y, x = np.ogrid[:9, :12, :12]
    inside = (z - 4) ** 2 + (y - 6) ** 2 + (x - 6) ** 2 < 16
    values = np.random.default_rng(seed).normal(100, 20, inside.shape)
    return np.where(inside, values, 0).astype(np.float32)


def test_z_scores_of_the_body_are_monais_of_what_is_not_zero() -> None:
    given = head()
    found = normalized(given, "zscore_body")
    expected = NormalizeIntensity(nonzero=True)(torch.from_numpy(given))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert not found[given == 0].any()  # what lies outside stays 0
    assert found[given != 0].mean() == pytest.approx(0, abs=1e-5)
    assert found[given != 0].std() == pytest.approx(1, abs=1e-5)


def test_a_hole_belongs_to_the_body() -> None:
    given = head()
    given[4, 6, 6] = 0  # such as air in the middle
    inside = given != 0
    inside[4, 6, 6] = True
    np.testing.assert_array_equal(body_of(given[None]), inside)
    found = normalized(given, "zscore_body")
    expected = (given[inside] - given[inside].mean()) / given[inside].std()
    np.testing.assert_allclose(found[inside], expected, atol=1e-4)
    assert found[4, 6, 6] < -2


def test_the_body_is_where_any_channel_is_not_zero() -> None:
    first, second = head(1), head(2)
    first[:, :7] = 0  # a channel of half of the head
    found = normalized_image(np.stack([first, second]), "zscore_body")
    body = second != 0
    expected = (first[body] - first[body].mean()) / first[body].std()
    np.testing.assert_allclose(found[:, 0][body], expected, atol=1e-4)
    assert found.shape == (9, 2, 12, 12)


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_becomes_zeros(value: int) -> None:
    assert not normalized(np.full((2, 4, 6), value, np.int16), "zscore_body").any()


def test_ct_clips_subtracts_and_divides() -> None:
    given = np.array([[[-1000, -58, 0, 80, 245, 3000]]], np.int16)
    found = normalized(given, "ct", foreground=(-58.0, 245.0, 80.0, 40.0))
    expected = (np.array([-58, -58, 0, 80, 245, 245]) - 80) / 40
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_each_channel_has_its_own_foreground() -> None:
    image = np.ones((2, 1, 2, 2)) * [[[[10.0]]], [[[20.0]]]]
    rows = [(0.0, 100.0, 5.0, 5.0), (0.0, 100.0, 10.0, 5.0)]
    found = normalized_image(image, "ct", rows)
    assert found[0, :, 0, 0].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match=r"each of the 2 channels of an image, got 1; leave"):
        normalized_image(image, "ct", rows[:1])
    with pytest.raises(DataError, match="ct must have foreground_intensities"):
        normalized(image[0], "ct")
