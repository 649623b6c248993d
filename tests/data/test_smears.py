import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normsearch.data.smears import smear_fault

Y, X = np.indices((128, 128))
DISC = (((Y - 60) ** 2 + (X - 50) ** 2) < 30**2).astype(np.uint8) * 255


def warned(mask: np.ndarray) -> bool:
    planes = mask if mask.ndim == 3 else mask[None]
    return bool(smear_fault("a", Path("a.png"), planes))


def atlas(structures: int) -> np.ndarray:
    """Each voxel of a ball belongs to the nearest of so many points."""
    points = np.random.default_rng(0).random((structures, 3)) * (12, 96, 96)
    z, y, x = np.indices((12, 96, 96))
    far = [(z - a) ** 2 * 4 + (y - b) ** 2 + (x - c) ** 2 for a, b, c in points]
    return (np.argmin(far, 0) + 1) * ((y - 48) ** 2 + (x - 48) ** 2 < 1600)


@pytest.mark.parametrize("quality", [30, 60, 75, 90, 95, 98, 100])
@pytest.mark.parametrize("classes", [(255,), (127, 255)])
def test_jpeg_is_found(quality: int, classes: tuple[int, ...]) -> None:
    mask = np.zeros_like(DISC)
    for place, value in enumerate(classes):
        mask[np.roll(DISC, 40 * place, 1) > 0] = value
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    assert warned(np.array(Image.open(file)))


@pytest.mark.parametrize("size", [50, 64, 100, 256])
@pytest.mark.parametrize("filter_", ["BILINEAR", "LANCZOS", "BICUBIC"])
def test_smooth_edges_are_found(size: int, filter_: str) -> None:
    picture = Image.fromarray(DISC).resize((size, size), Image.Resampling[filter_])
    assert warned(np.array(picture))


@pytest.mark.parametrize("structures", [1, 5, 20, 100, 200])
def test_an_atlas_is_none(structures: int) -> None:
    assert not warned(atlas(structures))


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 128, 255), (0, 1, 2, 254, 255)])
def test_masks_of_few_values_are_none(values: tuple[int, ...]) -> None:
    mask = np.zeros((64, 64), np.uint8)
    for place, value in enumerate(values):
        mask[5 + 11 * place : 12 + 11 * place, 5:50] = value
    assert not warned(mask)


def test_thin_vessels_and_single_voxels_are_none() -> None:
    mask = np.zeros((64, 64), np.uint8)
    for value in range(1, 7):
        for y in range(60):
            mask[y, value * 9 + int(3 * np.sin(y / 4))] = value
    assert not warned(mask)
    mask = np.zeros((64, 64), np.uint8)
    mask[10, 10], mask[20, 20], mask[30, 30], mask[40:50, 40:50] = 1, 2, 3, 4
    assert not warned(mask)


def test_the_warning_says_how_to_mend_it() -> None:
    ramp = np.clip(DISC.astype(int) + np.roll(DISC, 1, 0), 0, 255)
    (fault,) = smear_fault("a", Path("a.png"), (ramp * (X % 7 + 1) // 7)[None])
    assert (fault.severity, fault.rule) == ("warning", "smeared")
    assert "threshold the mask" in fault.cure
