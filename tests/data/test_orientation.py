"""One volume stored in all 48 axis orders and flips is one volume."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from normsearch.data import (
    CaseFiles,
    Preparation,
    Volume,
    load_cases,
    prepare_case,
    read_volume,
    write_volume,
)
from normsearch.data.orientation import PLANES, Plane, canonical, is_oriented, turned_back
from normsearch.data.reading import read_case
from normsearch.errors import DataError

itk: Any = SimpleITK
SHAPE, SPACING, ORIGIN = (5, 6, 8), (3.0, 2.0, 1.0), (-40.0, 25.0, 8.0)
C, S = math.cos(0.3), math.sin(0.3)
OBLIQUE = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) @ np.array(
    [[C, S, 0], [-S * C, C * C, S], [S * S, -S * C, C]]
)
STORED = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def image(directions: np.ndarray | None = None) -> Volume:
    """A canonical volume: superior, posterior, left."""
    array = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    rows = np.eye(3)[::-1] if directions is None else directions
    return Volume(array, SPACING, ORIGIN, rows * np.array(SPACING)[:, None])


def label() -> Volume:
    """1 in the left half of the patient, 2 in the right one."""
    array = np.where(np.indices(SHAPE)[2] >= 4, 1, 2).astype(np.uint8)
    array[0] = 0
    return Volume(array, SPACING, ORIGIN, image().directions)


def stored(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same voxels at the same places, by the formula, in another order of axes."""
    assert volume.directions is not None
    origin = np.array(volume.origin)
    directions = volume.directions.copy()
    for axis, flip in enumerate(flips):
        if flip:
            origin += directions[axis] * (volume.array.shape[axis] - 1)
            directions[axis] = -directions[axis]
    array = np.flip(volume.array, tuple(axis for axis in range(3) if flips[axis])).transpose(order)
    spacing = tuple(volume.spacing[axis] for axis in order)
    return Volume(np.ascontiguousarray(array), spacing, tuple(origin), directions[list(order)])


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_the_prepared_case_is_the_same_for_all_48(suffix: str, tmp_path: Path) -> None:
    preparation = Preparation(classes=(1, 2), size=(6, 4), fit="pad")
    found = []
    for number, turn in enumerate(STORED):
        paths = [tmp_path / f"{part}{number}{suffix}" for part in ("image", "label")]
        for path, volume in zip(paths, (image(), label()), strict=True):
            write_volume(path, stored(volume, *turn))
        found.append(prepare_case(CaseFiles("a", "a", "", (paths[0],), paths[1]), preparation))
    assert found[0].label[1:, :, 2:].tolist() == np.full((4, 6, 2), 1).tolist()  # left: high x
    for case in found:
        np.testing.assert_array_equal(case.image, found[0].image)
        np.testing.assert_array_equal(case.label, found[0].label)
        np.testing.assert_allclose(case.spacing, SPACING)
        assert case.oriented
        assert case.warnings == found[0].warnings == ()


@pytest.mark.parametrize("directions", [None, OBLIQUE, "45"])
@pytest.mark.parametrize("plane", PLANES)
def test_canonical_and_back(directions: np.ndarray | str | None, plane: Plane) -> None:
    if isinstance(directions, str):
        half = math.sqrt(0.5)
        directions = np.array([[0, 0, 1.0], [half, half, 0], [half, -half, 0]])
    given = image(directions)
    first = canonical(given, plane)
    for turn in STORED:
        volume = stored(given, *turn)
        found = canonical(volume, plane)
        np.testing.assert_array_equal(found.array, first.array)
        assert found.spacing == first.spacing
        assert found.directions is not None
        assert first.directions is not None
        np.testing.assert_allclose(found.directions, first.directions)
        np.testing.assert_allclose(found.origin, first.origin, atol=1e-9)  # type: ignore[arg-type]  # not None
        back = turned_back(found.array, volume, plane)
        np.testing.assert_array_equal(back, volume.array)


@pytest.mark.parametrize(
    ("plane", "axes"), [("axial", "SPL"), ("coronal", "PSL"), ("sagittal", "LSP")]
)
def test_slices_are_cut_along_the_plane(plane: Plane, axes: str) -> None:
    found = canonical(image(), plane)
    assert found.directions is not None
    steps = {"S": (3.0, [0, 0, 3]), "P": (2.0, [0, 2, 0]), "L": (1.0, [1, 0, 0])}
    assert found.spacing == tuple(steps[axis][0] for axis in axes)
    assert found.directions.tolist() == [steps[axis][1] for axis in axes]


def test_simple_itk_and_nibabel_agree_on_canonical(tmp_path: Path) -> None:
    """ITK's DICOMOrient to LPS and nibabel's closest canonical (RAS) give the same voxels."""
    for number, turn in enumerate(STORED):
        path = tmp_path / f"{number}.nii"
        write_volume(path, stored(image(OBLIQUE), *turn))
        found = canonical(read_volume(path))
        by_itk = itk.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(by_itk), found.array)
        np.testing.assert_allclose(by_itk.GetOrigin(), found.origin, atol=1e-4)  # type: ignore[arg-type]  # not None
        by_nibabel = nibabel.as_closest_canonical(nibabel.load(path))
        np.testing.assert_array_equal(np.asarray(by_nibabel.dataobj).T[:, ::-1, ::-1], found.array)


def test_channels_are_turned_and_pictures_keep_their_two_axes() -> None:
    one = stored(image(), (2, 0, 1), (True, False, True))
    assert one.directions is not None
    colours = Volume(
        np.stack([one.array, one.array + 1]),
        (math.nan, *one.spacing),
        one.origin,
        np.vstack([np.full(3, np.nan), one.directions]),
        ("vector", "domain", "domain", "domain"),
    )
    found = canonical(colours)
    np.testing.assert_array_equal(found.array[1], image().array + 1)
    np.testing.assert_array_equal(turned_back(found.array[0], colours), one.array)
    flat = Volume(
        np.arange(6).reshape(2, 3), (1, 2), (0, 0, 0), np.array([[-1.0, 0, 0], [0, 2, 0]])
    )
    for plane in PLANES:
        turned = canonical(flat, plane)
        np.testing.assert_array_equal(turned.array, flat.array[::-1].T)
        np.testing.assert_array_equal(turned_back(turned.array, flat, plane), flat.array)


def test_what_gives_no_orientation_stays_as_stored() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    plain = Volume(array, SPACING)
    rows = np.array([[math.nan] * 3, [0, 1, 0], [-1, 0, 0]])
    stack = Volume(array, (math.nan, 1, 1), None, rows, ("list", "domain", "domain"))
    for volume in (plain, stack):
        assert not is_oriented(volume)
        assert canonical(volume, "sagittal") is volume
        assert turned_back(array, volume, "sagittal") is array


@pytest.mark.parametrize("turn", [STORED[0], STORED[13], STORED[47]])
def test_a_label_without_orientation_lies_on_the_grid_of_its_images_file(
    turn: tuple[tuple[int, ...], tuple[bool, ...]], tmp_path: Path
) -> None:
    files = CaseFiles("a", "a", "", (tmp_path / "i.nrrd",), tmp_path / "l.nrrd")
    write_volume(files.images[0], stored(image(), *turn))
    mask = stored(label(), *turn)
    write_volume(files.label, Volume(mask.array, mask.spacing))
    raw, faults = read_case(files)
    assert not faults
    assert raw is not None
    np.testing.assert_array_equal(raw.label, label().array)
    write_volume(files.label, Volume(mask.array[1:], mask.spacing))
    assert [fault.rule for fault in read_case(files)[1]] == ["shape"]


def test_an_image_and_a_label_on_one_grid_in_different_orders(tmp_path: Path) -> None:
    files = CaseFiles("a", "a", "", (tmp_path / "i.nii.gz",), tmp_path / "l.nrrd")
    write_volume(files.images[0], stored(image(OBLIQUE), *STORED[9]))
    mask = Volume(label().array, SPACING, ORIGIN, image(OBLIQUE).directions)
    write_volume(files.label, stored(mask, *STORED[30]))
    raw, faults = read_case(files)
    assert not faults
    assert raw is not None
    np.testing.assert_array_equal(raw.image[0], image().array)
    np.testing.assert_array_equal(raw.label, label().array)


def test_some_with_an_orientation_and_some_without_are_refused(tmp_path: Path) -> None:
    for name, rows in (("a", image().directions), ("b", None)):
        for part, volume in (("images", image()), ("labels", label())):
            given = Volume(volume.array, SPACING, None, rows)
            write_volume(tmp_path / part / f"{name}.nrrd", given)
    with pytest.raises(
        DataError, match=r"orientation.*1 with \(a\.nrrd\) and 1 without \(b\.nrrd\)"
    ):
        load_cases(tmp_path, Preparation())


def test_slices_across_the_finest_plane_are_a_warning(tmp_path: Path) -> None:
    rows = np.eye(3)[::-1] * np.array([[1.0], [1.0], [4.0]])  # a sagittal acquisition
    for part, volume in (("images", image()), ("labels", label())):
        for name in "ab":
            path = tmp_path / part / f"{name}.nii.gz"
            write_volume(path, Volume(volume.array, (1.0, 1.0, 4.0), ORIGIN, rows))
    with pytest.warns(UserWarning, match="set task.plane: sagittal") as caught:
        load_cases(tmp_path, Preparation())
    assert [str(one.message).count("sagittal") for one in caught] == [1]
    case = load_cases(tmp_path, Preparation(plane="sagittal"))[0]
    assert case.spacing == (4, 1, 1)
    assert case.image.shape == (8, 1, 5, 6)
