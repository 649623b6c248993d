"""Masks of images against networks whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normsearch.config import TaskConfig
from normsearch.data import Volume, read_volume, write_volume
from normsearch.errors import DataError
from normsearch.prediction import predict_files, segment


class Bright(nn.Module):
    """Logits: how far the middle input channel lies above one half."""

    def forward(self, x: Tensor) -> Tensor:
        middle = x.shape[1] // 2
        return x[:, middle : middle + 1] - 0.5


class Levels(nn.Module):
    """Logits of background and two classes: nearest to 0, 1 and 2 thirds."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([-(x - level).abs() for level in (0.0, 0.4, 0.8)], dim=1)


def task(**settings: Any) -> TaskConfig:
    return TaskConfig(data="x", **{"intensity": (0.0, 1.0), **settings})


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("settings", "sample"),
    [
        ({}, (1, 16, 16)),
        ({"sample": "stack"}, (3, 16, 16)),
        ({"sample": "slab", "depth": 4}, (1, 4, 16, 16)),
        ({"sample": "volume", "fit": "pad", "size": (8, 16, 16)}, (1, 8, 16, 16)),
        ({"fit": "pad", "size": (16, 16)}, (1, 16, 16)),
    ],
)
@pytest.mark.parametrize("shape", [(5, 1, 16, 16), (11, 1, 37, 21), (2, 1, 9, 40)])
def test_every_pixel_is_predicted_on_its_own_grid(
    settings: dict[str, Any], sample: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    given = image(*shape)
    found = segment(Bright(), given, task(**settings), sample)
    assert np.array_equal(found, given[:, 0] > 0.5)


def test_several_classes_are_the_likeliest_one() -> None:
    given = image(3, 1, 20, 20)
    found = segment(Levels(), given, task(classes=(7, 9)), (1, 16, 16))
    assert np.array_equal(found, np.abs(given - [[[[0.0]], [[0.4]], [[0.8]]]]).argmin(1))


@pytest.mark.parametrize(
    ("settings", "sample"),
    [
        ({"size": (16, 16)}, (1, 16, 16)),
        ({"size": (8, 16, 16), "sample": "volume"}, (1, 8, 16, 16)),
    ],
)
def test_a_resized_image_is_predicted_on_the_grid_it_had(
    settings: dict[str, Any], sample: tuple[int, ...]
) -> None:
    given = np.zeros((6, 1, 48, 32), np.float32)
    given[:, 0, 12:36, 8:24] = 1
    found = segment(Bright(), given, task(**settings), sample)
    truth = given[:, 0] > 0.5
    assert found.shape == truth.shape
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii"])
def test_a_mask_has_its_images_geometry_and_the_data_sets_label_values(
    tmp_path: Path, suffix: str
) -> None:
    angle = np.pi / 6
    turn = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    directions = np.diag([3.0, 0.5, 0.7]) @ np.array(turn)[:, ::-1]
    given = Volume(image(4, 18, 20), (3.0, 0.5, 0.7), (5.0, -3.0, 40.0), directions)
    path = tmp_path / f"image{suffix}"
    write_volume(path, given)
    made = predict_files(Levels(), (path,), task(classes=(3, 5)), (1, 16, 16)).mask
    assert made is not None
    write_volume(tmp_path / f"mask{suffix}", made)
    mask = read_volume(tmp_path / f"mask{suffix}", as_label=True)
    assert set(np.unique(mask.array)) == {0, 3, 5}
    assert mask.spacing == pytest.approx(given.spacing)
    assert mask.origin == pytest.approx(given.origin)
    assert mask.directions is not None
    np.testing.assert_allclose(mask.directions, directions, atol=1e-6)


def test_a_picture_of_three_colours_is_one_image_of_three_channels(tmp_path: Path) -> None:
    pixels = (255 * image(3, 16, 18)).astype(np.uint8)
    colour = Volume(pixels, (float("nan"), 1.0, 1.0), kinds=("vector", "domain", "domain"))
    write_volume(tmp_path / "a.png", colour)
    with pytest.warns(UserWarning, match="spacing"):
        made = predict_files(
            Bright(), (tmp_path / "a.png",), task(intensity=(0, 255)), (3, 16, 16)
        ).mask
    assert made is not None
    assert np.array_equal(made.array, pixels[1] > 127.5)
    write_volume(tmp_path / "b.png", made)


def test_channels_in_files_of_their_own(tmp_path: Path) -> None:
    arrays = [image(4, 16, 16), 1 - image(4, 16, 16)]
    paths = tuple(tmp_path / f"c{i}.nrrd" for i in range(2))
    for path, array in zip(paths, arrays, strict=True):
        write_volume(path, Volume(array, (1.0, 1.0, 1.0)))
    made = predict_files(Bright(), paths, task(), (2, 16, 16)).mask
    assert made is not None
    assert np.array_equal(made.array, arrays[1] > 0.5)
    with pytest.raises(DataError, match=r"must have the 2 channels .* got 1; give one file for"):
        predict_files(Bright(), paths[:1], task(), (2, 16, 16))
    write_volume(paths[1], Volume(arrays[1][1:], (1.0, 1.0, 1.0)))
    with pytest.raises(DataError, match=r"must have the shape of c0\.nrrd"):
        predict_files(Bright(), paths, task(), (2, 16, 16))


def test_an_image_with_a_class(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(torch.tensor([[0.1, 0.7, 0.2]])).expand(len(x), 3)

    write_volume(tmp_path / "a.nrrd", Volume(image(1, 8, 8), (1.0, 1.0, 1.0)))
    labelled = task(layout="idx", classes=(0, 1, 2))
    made = predict_files(Fixed(), (tmp_path / "a.nrrd",), labelled, (1, 8, 8))
    assert (made.mask, made.label) == (None, 1)
    assert made.probability == pytest.approx(0.7)
    with pytest.raises(DataError, match="must have the shape"):
        predict_files(Fixed(), (tmp_path / "a.nrrd",), labelled, (1, 28, 28))
