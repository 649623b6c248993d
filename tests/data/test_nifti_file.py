import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff, io_orientation

from normsearch.data import Volume, read_volume, write_volume
from normsearch.errors import DataError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
AFFINE = np.array(
    [[-0.6, 0.0, 0.8, 10.0], [0.0, 1.5, 0.0, -20.0], [1.6, 0.0, 2.4, 30.0], [0, 0, 0, 1]]
)
AFFINE[:3, :3] = np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]]) * [0.5, 1.5, 3.0]
XYZ = np.arange(24, dtype=np.int16).reshape(4, 3, 2)


def saved(path: Path, image: nibabel.Nifti1Image, **fields: object) -> Path:
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def affine_of(volume: Volume) -> np.ndarray:
    """The voxel (x, y, z) to LPS mm, from a volume of three axes in space."""
    assert volume.directions is not None
    assert volume.origin is not None
    affine = np.eye(4)
    affine[:3, :3] = volume.directions[::-1].T
    affine[:3, 3] = volume.origin
    return affine


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_array_and_the_geometry_are_nibabels(
    name: str, kind: type[nibabel.Nifti1Image], order: str, tmp_path: Path
) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    path = saved(tmp_path / name, kind(XYZ, AFFINE, header))
    assert nibabel.load(path).header.endianness == order
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, XYZ.T)
    assert volume.array.dtype == np.int16
    assert volume.array.dtype.isnative
    np.testing.assert_allclose(affine_of(volume), LPS @ nibabel.load(path).affine)
    np.testing.assert_allclose(volume.spacing, (3.0, 1.5, 0.5), rtol=1e-6)


def test_the_sform_comes_first_then_the_qform_then_the_spacing_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(XYZ, None)
    image.set_qform(AFFINE, 1)
    image.set_sform(np.diag([2.0, 3, 4, 1]), 2)
    np.testing.assert_allclose(
        affine_of(read_volume(saved(path, image))), LPS @ np.diag([2, 3, 4, 1])
    )
    image.set_sform(None, 0)
    np.testing.assert_allclose(affine_of(read_volume(saved(path, image))), LPS @ AFFINE, atol=1e-5)
    image.set_qform(None, 0)
    volume = read_volume(saved(path, image))
    assert volume.directions is None
    assert volume.origin is None
    assert volume.spacing == (3.0, 1.5, 0.5)


def test_every_orientation_of_the_axes(tmp_path: Path) -> None:
    """However a file orders and flips its axes, each voxel stays where it was."""
    volume = nibabel.Nifti1Image(XYZ, AFFINE)
    straight = io_orientation(AFFINE)
    for flips in np.ndindex(2, 2, 2):
        for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
            turn = np.array([straight[list(order), 0], 1 - 2 * np.array(flips)]).T
            image = volume.as_reoriented(turn)
            found = read_volume(saved(tmp_path / "a.nii", image))
            back = affine_of(found) @ np.linalg.inv(inv_ornt_aff(turn, XYZ.shape))
            np.testing.assert_allclose(back, LPS @ AFFINE, atol=1e-5)
            np.testing.assert_array_equal(found.array.T, np.asarray(image.dataobj))


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("meter", 1000), ("micron", 0.001)])
@pytest.mark.parametrize("form", [True, False])
def test_units_become_mm(unit: str, mm: float, form: bool, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, AFFINE if form else None)
    image.header.set_zooms((0.5, 1.5, 3.0))
    image.header.set_xyzt_units(unit)
    volume = read_volume(saved(tmp_path / "a.nii", image))
    np.testing.assert_allclose(volume.spacing, np.array([3.0, 1.5, 0.5]) * mm, rtol=1e-6)
    if form:
        np.testing.assert_allclose(affine_of(volume)[:3], (LPS @ AFFINE)[:3] * mm, rtol=1e-5)


def test_a_fourth_axis_is_channels(tmp_path: Path) -> None:
    array = np.arange(72, dtype=np.float32).reshape(4, 3, 2, 3)
    for shape in ((4, 3, 2, 3), (4, 3, 2, 1, 3), (4, 3, 2, 3, 1, 1)):
        path = saved(tmp_path / "a.nii", nibabel.Nifti1Image(array.reshape(shape), AFFINE))
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, array.transpose(3, 2, 1, 0))
        assert volume.kinds == ("vector", "domain", "domain", "domain")
        assert math.isnan(volume.spacing[0])
        np.testing.assert_allclose(volume.spacing[1:], (3.0, 1.5, 0.5), rtol=1e-6)
        write_volume(path, volume)
        again = read_volume(path)
        np.testing.assert_array_equal(again.array, volume.array)
        np.testing.assert_allclose(again.directions, volume.directions, rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), array)


def test_axes_of_one_and_of_two_dimensions(tmp_path: Path) -> None:
    for shape, expected in (((4, 6), (6, 4)), ((4, 6, 1), (1, 6, 4)), ((4, 3, 2, 1), (2, 3, 4))):
        path = saved(tmp_path / "a.nii", nibabel.Nifti1Image(XYZ.reshape(shape), np.eye(4)))
        volume = read_volume(path)
        assert volume.array.shape == expected
        assert volume.kinds == ()
        write_volume(path, volume)
        again = read_volume(path)
        np.testing.assert_array_equal(again.array, volume.array)
        np.testing.assert_array_equal(again.directions, volume.directions)


def test_colours_are_channels(tmp_path: Path) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours = np.arange(72, dtype=np.uint8).reshape(4, 3, 2, 3)
    image = nibabel.Nifti1Image(colours.view(kind).reshape(4, 3, 2), AFFINE)
    volume = read_volume(saved(tmp_path / "a.nii", image))
    np.testing.assert_array_equal(volume.array, colours.transpose(3, 2, 1, 0))
    assert volume.kinds[0] == "vector"


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("factors", [(0.5, 3.0), (2.0, -1.0), (1.0, 0.0), (0.0, 7.0), (np.nan, 1)])
def test_scale_factors_are_applied_as_nibabel_does(
    kind: str, factors: tuple[float, float], tmp_path: Path
) -> None:
    slope, inter = factors
    content = nibabel.Nifti1Image(XYZ.astype(kind), AFFINE).to_bytes()
    header = nibabel.Nifti1Header(content[:348], check=False)
    header["scl_slope"], header["scl_inter"] = slope, inter
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(header.binaryblock) + content[348:])
    volume = read_volume(path)
    expected = np.asarray(nibabel.load(path).dataobj).T
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.array.dtype == expected.dtype
    if slope == 0.5:
        with pytest.raises(DataError, match=r"a\.nii: a label must hold whole numbers, got the"):
            read_volume(path, as_label=True)
    else:
        np.testing.assert_array_equal(read_volume(path, as_label=True).array, expected)


def test_extensions_are_skipped(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(XYZ, AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    np.testing.assert_array_equal(read_volume(saved(tmp_path / "a.nii.gz", image)).array, XYZ.T)


def test_voxels_at_an_odd_byte_are_aligned_in_memory(tmp_path: Path) -> None:
    content = nibabel.Nifti1Image(XYZ, AFFINE).to_bytes()
    header = nibabel.Nifti1Header(content[:348])
    header["vox_offset"] = 353
    (tmp_path / "a.nii").write_bytes(bytes(header.binaryblock) + bytes(5) + content[352:])
    found = read_volume(tmp_path / "a.nii").array
    np.testing.assert_array_equal(found, XYZ.T)
    assert found.flags.aligned


def test_a_sheared_geometry_is_kept_in_the_sform_alone(tmp_path: Path) -> None:
    directions = np.array([[0.0, 0.4, 3.0], [0.0, 1.5, 0.0], [0.5, 0.0, 0.0]])
    spacing = tuple(np.linalg.norm(directions, axis=1))
    write_volume(tmp_path / "a.nii", Volume(XYZ.T, spacing, (1.0, 2.0, 3.0), directions))
    header = nibabel.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    found = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(found.directions, directions, rtol=1e-6)


def test_without_directions_the_spacing_is_kept(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii", Volume(XYZ.T, (3.0, 1.5, 0.5)))
    found = read_volume(tmp_path / "a.nii")
    assert found.spacing == (3.0, 1.5, 0.5)
    assert found.directions is None
    assert nibabel.load(tmp_path / "a.nii").header.get_xyzt_units()[0] == "mm"


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, Volume(XYZ.T, (3.0, 1.5, 0.5)))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("shape", "spacing", "kinds"),
    [
        ((2, 3, 4), (math.nan, 1.0, 1.0), ("list", "domain", "domain")),
        ((2, 3, 4), (math.nan, 1.0, 1.0), ("vector", "domain", "domain")),
        ((2, 2, 3, 4), (1.0,) * 4, ()),
        ((4,), (1.0,), ()),
    ],
)
def test_what_nifti_cannot_hold_is_refused(
    shape: tuple[int, ...], spacing: tuple[float, ...], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    volume = Volume(np.zeros(shape, np.uint8), spacing, kinds=kinds)
    with pytest.raises(DataError, match=r"a\.nii: NIfTI holds two or three axes in space, or"):
        write_volume(tmp_path / "a.nii", volume)
    long = Volume(np.zeros((1, 1, 2**15), np.uint8), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"a\.nii: NIfTI holds up to 32767 voxels an axis"):
        write_volume(tmp_path / "a.nii", long)
