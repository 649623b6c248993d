"""Masks of images against networks whose answer is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normsearch.config import GeometryConfig, TaskConfig
from normsearch.data import Volume, read_volume, write_volume
from normsearch.errors import DataError
from normsearch.trials.prediction import predict_files, segment


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
    class FixedParametersSampler(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(torch.tensor([[0.1, 0.7, 0.2]])).expand(len(x), 3)

    write_volume(tmp_path / "a.nrrd", Volume(image(1, 8, 8), (1.0, 1.0, 1.0)))
    labelled = task(layout="idx", classes=(0, 1, 2))
    made = predict_files(FixedParametersSampler(), (tmp_path / "a.nrrd",), labelled, (1, 8, 8))
    assert (made.mask, made.label) == (None, 1)
    assert made.probability == pytest.approx(0.7)
    with pytest.raises(DataError, match="must have the shape"):
        predict_files(FixedParametersSampler(), (tmp_path / "a.nrrd",), labelled, (1, 28, 28))


@pytest.mark.parametrize(("amp", "dtype"), [("off", torch.float32), ("bfloat16", torch.bfloat16)])
def test_predictions_are_made_in_the_precision_asked_for(
    tmp_path: Path, amp: str, dtype: torch.dtype
) -> None:
    seen: list[torch.dtype] = []
    conv = nn.Conv2d(1, 1, 1)
    conv.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    write_volume(tmp_path / "a.nrrd", Volume(image(2, 8, 8), (1.0, 1.0, 1.0)))
    made = predict_files(conv, (tmp_path / "a.nrrd",), task(), (1, 8, 8), amp=amp)
    assert made.mask is not None
    assert set(seen) == {dtype}


TRAINED = GeometryConfig(
    oriented=True, least=(3.0, 0.5, 0.7), median=(3.0, 0.5, 0.7), greatest=(3.0, 0.5, 0.7),
    unknown=(0, 0, 0),
)  # fmt: skip


class LeftHalf(nn.Module):
    """Foreground where the index along x, which grows to the left, is at least half."""

    def forward(self, x: Tensor) -> Tensor:
        ramp = torch.arange(x.shape[-1]) - x.shape[-1] / 2 + 0.5
        return ramp.expand_as(x[:, :1])


@pytest.mark.parametrize("suffix", [".nrrd", ".nii"])
def test_the_left_half_is_found_in_all_48_orders(suffix: str, tmp_path: Path) -> None:
    steps, shape = np.array((3.0, 0.5, 0.7)), (4, 16, 16)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            rows = (np.eye(3)[::-1] * steps[:, None] * np.array(flips)[:, None])[list(order)]
            turned = [shape[axis] for axis in order]
            spacing = tuple(steps[list(order)])
            path = tmp_path / f"i{suffix}"
            write_volume(path, Volume(image(*turned), spacing, (0, 0, 0), rows))
            made = predict_files(LeftHalf(), (path,), task(), (1, 16, 16), geometry=TRAINED).mask
            assert made is not None
            write_volume(tmp_path / f"m{suffix}", made)
            mask = read_volume(tmp_path / f"m{suffix}", as_label=True)
            assert mask.directions is not None
            np.testing.assert_allclose(mask.directions, rows, atol=1e-6)
            left = (np.indices(turned).reshape(3, -1).T @ rows)[:, 0]
            assert mask.array.shape == tuple(turned)
            np.testing.assert_array_equal(
                mask.array.ravel() > 0, left > (left.min() + left.max()) / 2
            )


def written(path: Path, spacing: tuple[float, ...], *, oriented: bool = True) -> Path:
    rows = np.eye(3)[::-1] * np.array(spacing)[:, None] if oriented else None
    write_volume(path, Volume(image(4, 16, 16), spacing, (0, 0, 0) if oriented else None, rows))
    return path


def test_an_image_of_another_spacing_is_refused(tmp_path: Path) -> None:
    def predicted(spacing: tuple[float, ...], **settings: Any) -> Any:
        flag = settings.pop("any_spacing", False)
        path = written(tmp_path / "i.nrrd", spacing)
        shape = (3 if "sample" in settings else 1, 16, 16)
        return predict_files(
            Bright(), (path,), task(**settings), shape, geometry=TRAINED, any_spacing=flag
        )

    assert predicted((3.0, 0.6, 0.56)).mask is not None  # within a quarter
    assert predicted((9.0, 0.5, 0.7)).mask is not None  # of a slice alone
    message = (
        r"i\.nrrd: the prepared spacing \(rows, columns\) .* 0\.5 x 0\.7 mm, got 0\.5 x 2 mm; res"
    )
    with pytest.raises(DataError, match=message):
        predicted((3.0, 0.5, 2.0))
    assert predicted((3.0, 0.5, 2.0), any_spacing=True).mask is not None
    with pytest.raises(DataError, match=r"got 9 x 0\.5 x 0\.7 mm"):
        predicted((9.0, 0.5, 0.7), sample="stack")
    with pytest.raises(DataError, match=r"got 1 x 1\.4 mm"):  # 16 pixels of 0.5 mm become 8 of 1
        predicted((3.0, 0.5, 0.7), size=(8, 8))


@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_an_image_must_say_as_much_of_its_geometry_as_those_of_the_training(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.nrrd", (3.0, 0.5, 0.7), oriented=False)
    with pytest.raises(DataError, match=r"plain\.nrrd: must give an orientation, .*got none"):
        predict_files(Bright(), (plain,), task(), (1, 16, 16), geometry=TRAINED)
    none = TRAINED.model_copy(update={"oriented": False})
    there = written(tmp_path / "there.nrrd", (3.0, 0.5, 0.7))
    with pytest.raises(
        DataError, match=r"there\.nrrd: must give no orientation, .*got one.*write_volume"
    ):
        predict_files(Bright(), (there,), task(), (1, 16, 16), geometry=none)
    write_volume(plain, Volume(image(4, 16, 16), (float("nan"),) * 3))
    with pytest.raises(DataError, match=r"0\.5 x 0\.7 mm, got unknown; resample"):
        predict_files(Bright(), (plain,), task(), (1, 16, 16), geometry=none)
    nothing = (None, None, None)
    unknown = GeometryConfig(
        oriented=False, least=nothing, median=nothing, greatest=nothing, unknown=(2, 2, 2)
    )
    assert predict_files(Bright(), (plain,), task(), (1, 16, 16), geometry=unknown).mask is not None
    written(plain, (3.0, 0.5, 0.7), oriented=False)
    with pytest.raises(DataError, match=r"cases, unknown, got 0\.5 x 0\.7 mm"):
        predict_files(Bright(), (plain,), task(), (1, 16, 16), geometry=unknown)


def test_every_check_of_a_cases_image_is_made(tmp_path: Path) -> None:
    spoilt = image(4, 16, 16)
    spoilt[0, 0, 0] = np.nan
    write_volume(tmp_path / "nan.nrrd", Volume(spoilt, (1.0, 1.0, 1.0)))
    with pytest.raises(DataError, match=r"nan\.nrrd: must have finite voxels alone"):
        predict_files(Bright(), (tmp_path / "nan.nrrd",), task(), (1, 16, 16))
    paths = (written(tmp_path / "a.nrrd", (3, 1, 1)), written(tmp_path / "b.nrrd", (3, 1, 2)))
    with pytest.raises(DataError, match=r"b\.nrrd: must have the spacing of a\.nrrd"):
        predict_files(Bright(), paths, task(), (2, 16, 16))
