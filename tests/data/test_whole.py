"""Whole images as a network takes them, and the way back to their own grids."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from normsearch.data import (
    SAMPLINGS,
    Case,
    image_on_own_grid,
    resampling_to,
    whole_case,
    whole_image,
)
from normsearch.data.transforms import pad, resize_image


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["slice", "stack", "slab", "volume"])
@pytest.mark.parametrize("sides", [(5, 6, 7), (3, 9, 12), (8, 12, 5)])
def test_logits_come_back_to_the_own_grid(name: str, sides: tuple[int, int, int]) -> None:
    sampling = SAMPLINGS[name](3, 1)
    window = {"slice": (8, 8), "stack": (8, 8), "slab": (3, 8, 8), "volume": (4, 8, 8)}[name]
    given = image(sides[0], 1, *sides[1:])
    found = whole_image(given, sampling, window)
    least = np.array(found.samples.shape[-2:])
    assert (least >= 8).all()
    first = found.samples[:, 1:2] if name == "stack" else found.samples  # the middle slice
    torch.testing.assert_close(found.restore(first), given)  # a network that changes nothing


def test_what_is_padded_has_the_smallest_value() -> None:
    given = image(2, 1, 4, 4)
    found = whole_image(given, SAMPLINGS["slice"](1, 0), (8, 8))
    assert found.samples.shape == (2, 1, 8, 8)
    assert float(found.samples[0, 0, 0, 0]) == pytest.approx(float(given.min()))


def test_resized_images_are_resized_back() -> None:
    small = resize_image(image(3, 1, 16, 12), (8, 8))
    found = whole_image(small, SAMPLINGS["slice"](1, 0), (8, 8), grid=(3, 16, 12), resized=True)
    torch.testing.assert_close(found.restore(found.samples), resize_image(small, (16, 12)))


def case() -> Case:
    numbers = np.arange(7, dtype=np.float32)
    pixels = np.broadcast_to(numbers[:, None, None, None], (7, 2, 3, 4)).copy()
    label = np.broadcast_to((np.arange(7) % 2)[:, None, None], (7, 3, 4)).astype(np.uint8).copy()
    for array in (pixels, label):
        array.setflags(write=False)
    return Case("a", "a", "", pixels, label, (1.0, 1.0, 1.0))


def test_a_case_of_read_only_arrays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = whole_case(case(), SAMPLINGS["slice"](1, 0), 1, (3, 4), resized=False)
    assert torch.equal(found.samples[:, 0, 0, 0], torch.arange(7.0))
    assert (found.truth().shape, found.truth().dtype) == ((7, 1, 3, 4), torch.float32)
    many = whole_case(case(), SAMPLINGS["volume"](1, 0), 3, (7, 3, 4), resized=False)
    assert (many.truth().shape, many.truth().dtype) == ((7, 3, 4), torch.int64)


def test_a_cropped_case_is_scored_uncropped() -> None:
    whole = case()
    cropped = replace(
        whole, image=whole.image[:, :, 1:2], label=whole.label[:, 1:2],
        uncropped=whole.image, own_label=whole.label,
    )  # fmt: skip
    found = whole_case(cropped, SAMPLINGS["slice"](1, 0), 1, (1, 4), resized=False)
    assert found.samples.shape == (7, 2, 3, 4)
    assert found.truth().shape == (7, 1, 3, 4)
    assert found.window == (1, 4)
    torch.testing.assert_close(found.restore(found.samples), found.samples)


@pytest.mark.parametrize("name", ["slice", "stack", "slab", "volume"])
@pytest.mark.parametrize("size", [None, (8, 8, 8), (3, 20, 6)])
def test_resampled_images_come_back_to_the_own_grid(
    name: str, size: tuple[int, int, int] | None
) -> None:
    """Cropped, padded or as resampled: what the network gives is that of the resampled grid."""
    sampling = SAMPLINGS[name](3, 1)
    sides, spacing, target = (5, 12, 9), (2.0, 1.0, 1.0), (1.0, 1.5, 0.5)
    way = resampling_to(sides, spacing, target)
    resampled = way.image(image(5, 1, 12, 9).numpy())
    label = np.zeros(way.new_shape, np.uint8)
    small = torch.from_numpy(resampled)
    if size is not None:
        side = size if name == "volume" else size[1:]
        small, fitted = pad(small, torch.from_numpy(label), side)
        label = fitted.numpy()
    z, y, x = size or (8, 8, 8)
    window = {"slab": (3, y, x), "volume": (z, y, x)}.get(name, (y, x))
    whole = Case(
        "a", "a", "", small.numpy(), label, target, uncropped=resampled,
        own_label=np.zeros(sides, np.uint8), own_spacing=spacing,
    )  # fmt: skip
    found = whole_case(whole, sampling, 1, window, resized=False, spacing=target)
    assert found.truth().shape == (5, 1, 12, 9)
    first = found.samples[:, 1:2] if name == "stack" else found.samples
    expected = way.back(torch.from_numpy(resampled))
    torch.testing.assert_close(found.restore(first), expected)  # a network that changes nothing


def test_a_picture_lies_where_its_label_lies() -> None:
    """An image that was padded is cropped, one that was resampled is resampled back."""
    given = case()
    padded, _ = pad(torch.from_numpy(given.image.copy()), torch.zeros(7, 3, 4).byte(), (5, 8))
    one = replace(given, image=padded.numpy(), own_label=given.label)
    np.testing.assert_array_equal(image_on_own_grid(one, resized=False), given.image)
    way = resampling_to((7, 3, 4), (1.0, 1.0, 1.0), (2.0, 1.0, 1.0))
    moved = way.image(given.image)
    one = replace(given, image=moved, own_label=given.label, own_spacing=(1.0, 1.0, 1.0))
    found = image_on_own_grid(one, resized=False, spacing=(2.0, 1.0, 1.0))
    torch.testing.assert_close(torch.from_numpy(found), way.back(torch.from_numpy(moved)))
    assert found.shape == given.image.shape
