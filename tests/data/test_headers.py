"""A mask lies where its image lies, for every reader: header fields as the image has them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK

from normsearch.data import Volume, read_volume, write_volume
from normsearch.data.nrrd_geometry import without_channels

itk: Any = SimpleITK
FIELDS = [
    *("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d", "xyzt_units"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
]
AFFINE = np.array([[0, -0.7, 0, 12.3], [-0.9, 0, 0, 45.6], [0, 0, 2.1, -7.8], [0, 0, 0, 1]])


def moved(shear: float) -> np.ndarray:
    other = AFFINE.copy()
    other[:3, 3] += 10.0, -5.0, 3.0
    other[0, 1] += shear
    other[0, 0] += shear
    return other


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (2, 1), (4, 3)])
@pytest.mark.parametrize("shear", [0.0, 3e-4])
def test_a_nifti_mask_has_its_images_forms(
    suffix: str, version: Any, codes: tuple[int, int], shear: float, tmp_path: Path
) -> None:
    sform, qform = codes
    image = version(np.zeros((4, 5, 6), np.float32), AFFINE)
    image.set_qform(AFFINE, qform)
    image.set_sform(moved(shear), sform)
    image.header.set_xyzt_units("mm", "sec")
    check_mask(image, tmp_path, suffix)
    if qform and suffix == ".nii" and version is nibabel.Nifti1Image:
        one, other = (itk.ReadImage(str(tmp_path / f"{name}.nii")) for name in "im")
        assert one.GetOrigin() == other.GetOrigin()
        assert one.GetDirection() == other.GetDirection()
        assert one.GetSpacing() == other.GetSpacing()


@pytest.mark.parametrize("units", ["unknown", "meter", "micron"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_units_and_byte_order(units: str, order: str, tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=order)
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), AFFINE, header)
    image.header.set_xyzt_units(units)
    check_mask(image, tmp_path, ".nii")


def test_the_three_axes_in_space_of_an_image_of_channels(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), AFFINE)
    image.set_qform(moved(0), 2)
    image.header["pixdim"][0] = -1.0
    check_mask(image, tmp_path, ".nii.gz")


def check_mask(image: Any, folder: Path, suffix: str) -> None:
    path, mask_path = folder / f"i{suffix}", folder / f"m{suffix}"
    nibabel.save(image, path)
    volume = read_volume(path)
    volume = without_channels(volume) if volume.kinds[:1] == ("vector",) else volume
    write_volume(mask_path, replace(volume, array=np.ones(volume.array.shape, np.uint8)))
    one, other = (nibabel.load(each).header for each in (path, mask_path))
    assert other["sizeof_hdr"] == one["sizeof_hdr"]
    for name in FIELDS:
        assert np.asarray(one[name]).tolist() == np.asarray(other[name]).tolist(), name
    assert one["pixdim"][:4].tolist() == other["pixdim"][:4].tolist()


def test_forms_of_another_place_are_not_written(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), AFFINE), tmp_path / "i.nii")
    there = replace(read_volume(tmp_path / "i.nii"), origin=(1.0, 2.0, 3.0))
    write_volume(tmp_path / "m.nii", there)
    assert read_volume(tmp_path / "m.nii").origin == pytest.approx((1, 2, 3))


@pytest.mark.parametrize(
    "steps", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (1.0, 1.0, 1.0)], ids=["none", "x", "all"]
)
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_a_nifti_spacing_above_0_is_known(steps: tuple[float, ...], tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None)
    image.header["pixdim"][1:4] = steps
    (tmp_path / "i.nii").write_bytes(image.to_bytes())
    found = read_volume(tmp_path / "i.nii")
    expected = tuple(step if step > 0 else math.nan for step in steps[::-1])
    np.testing.assert_array_equal(found.spacing, expected)
    write_volume(tmp_path / "m.nii", Volume(found.array, found.spacing))
    np.testing.assert_array_equal(read_volume(tmp_path / "m.nii").spacing, expected)


NRRDS: list[dict[str, Any]] = [
    {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.5, 0.6, 2.0]),
        "space origin": np.array([1.0, 2.0, 3.0]),
        "space units": ["mm", "mm", "mm"],
        "measurement frame": np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1.0]]),
        "centerings": ["node", "node", "node"],
        "kinds": ["domain", "domain", "domain"],
    },
    {
        "space": "right-anterior-superior",
        "space directions": np.array([[0, 0.5, 0], [-0.6, 0, 0], [0, 0, 2.0]]),
        "space origin": np.array([1.0, 2.0, 3.0]),
    },
    {"spacings": np.array([0.5, 0.6, 2.0]), "axis mins": np.array([3.0, 4.0, 5.0])},
    {"spacings": np.array([0.5, 0.6, 2.0]), "units": ["mm", "mm", "mm"]},
    {"kinds": ["domain", "domain", "list"]},
    {},
]


@pytest.mark.parametrize("number", range(len(NRRDS)))
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_an_nrrd_mask_has_its_images_fields(number: int, tmp_path: Path) -> None:
    given = NRRDS[number]
    paths = [str(tmp_path / f"{name}.nrrd") for name in "im"]
    nrrd.write(paths[0], np.zeros((4, 5, 6), np.float32), dict(given))
    volume = read_volume(Path(paths[0]))
    write_volume(Path(paths[1]), replace(volume, array=np.ones((6, 5, 4), np.uint8)))
    one, other = (nrrd.read_header(path) for path in paths)
    for key in given:
        np.testing.assert_array_equal(one[key], other[key])
    assert one.keys() - other.keys() == {"endian"}  # one byte has none
    images = [itk.ReadImage(path) for path in paths]
    assert images[0].GetOrigin() == images[1].GetOrigin()
    assert images[0].GetSpacing() == images[1].GetSpacing()
    assert images[0].GetDirection() == images[1].GetDirection()


@pytest.mark.parametrize("place", [0, 3])
def test_an_nrrd_mask_has_no_axis_of_channels(place: int, tmp_path: Path) -> None:
    rows = np.insert(np.diag([0.5, 0.6, 2.0]), place, np.nan, axis=0)
    kinds = ["domain"] * 3
    kinds.insert(place, "vector")
    header = {"space": "LPS", "space directions": rows, "space origin": [1, 2, 3], "kinds": kinds}
    centers = ["cell", "node", "cell"]
    header["centerings"] = [*centers[:place], "none", *centers[place:]]
    array = np.moveaxis(np.zeros((4, 5, 6, 2), np.uint8), 3, place)
    nrrd.write(str(tmp_path / "i.nrrd"), array, header)
    mask = without_channels(read_volume(tmp_path / "i.nrrd"))
    write_volume(tmp_path / "m.nrrd", mask)
    found = nrrd.read_header(str(tmp_path / "m.nrrd"))
    np.testing.assert_array_equal(found["space directions"], np.diag([0.5, 0.6, 2.0]))
    assert found["sizes"].tolist() == [4, 5, 6]
    assert found["centerings"] == centers
