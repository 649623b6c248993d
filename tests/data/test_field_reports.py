"""Descriptions and headers that contradict each other, from case to case or within one file."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from normsearch.data import Preparation, inspect, load_cases, read_volume
from normsearch.data.cases import CaseFiles
from normsearch.data.layouts import survey
from normsearch.data.orientation import is_oriented
from normsearch.data.picture_file import palette_of
from normsearch.data.reading import read_case, read_image
from normsearch.errors import DataError

Array = npt.NDArray[Any]
VOXELS = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
LPS = {"space": "left-posterior-superior", "space directions": np.eye(3)}


def nifti(
    path: Path, array: np.ndarray, sform: np.ndarray, qform: np.ndarray | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, sform)
    image.set_sform(sform, 1)
    image.set_qform(sform if qform is None else qform, 1)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    ("unit", "mm"),
    [("microns", 1e-3), ("Micrometer", 1e-3), ("nm", 1e-6), ("meters", 1e3), ("", 1), ("cm", 10)],
)
@pytest.mark.parametrize("field", ["space units", "units"])
def test_units_of_length_by_any_of_their_names(
    field: str, unit: str, mm: float, tmp_path: Path
) -> None:
    geometry = LPS if field == "space units" else {"spacings": [1.0, 1.0, 1.0]}
    nrrd.write(str(tmp_path / "a.nrrd"), VOXELS, {**geometry, field: [unit] * 3})
    assert read_volume(tmp_path / "a.nrrd").spacing == pytest.approx((mm,) * 3)


@pytest.mark.parametrize("field", ["space units", "units"])
def test_a_unit_that_is_no_length_is_refused(field: str, tmp_path: Path) -> None:
    geometry = LPS if field == "space units" else {"spacings": [1.0, 1.0, 1.0]}
    nrrd.write(str(tmp_path / "a.nrrd"), VOXELS, {**geometry, field: ["furlong"] * 3})
    with pytest.raises(DataError, match="the unit 'furlong', not one of m, cm, mm"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    "space", [{"space": "3D-right-handed"}, {"space": "scanner-xyz"}, {"space dimension": 3}]
)
def test_a_space_that_is_no_patients_gives_no_orientation(
    space: dict[str, object], tmp_path: Path
) -> None:
    turned = np.array([[0, 0, 2.0], [0, -1.0, 0], [1.0, 0, 0]])
    nrrd.write(str(tmp_path / "a.nrrd"), VOXELS, {**space, "space directions": turned})
    volume = read_volume(tmp_path / "a.nrrd")
    assert not is_oriented(volume)
    assert volume.spacing == (1, 1, 2)


def test_a_label_that_points_elsewhere_than_its_image_is_refused(tmp_path: Path) -> None:
    """An image in LPS whose mask was saved with the identity, as scripts do."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    image = nifti(tmp_path / "i.nii.gz", VOXELS, lps)
    label = nifti(tmp_path / "l.nii.gz", VOXELS % 2, np.eye(4))
    case, faults = read_case(CaseFiles("a", "a", "", (image,), label))
    assert case is None
    assert {fault.rule: fault.severity for fault in faults} == {"origin": "error"}
    shifted = lps.copy()
    shifted[0, 3] = 7.0
    nifti(label, VOXELS % 2, shifted)
    case, faults = read_case(CaseFiles("a", "a", "", (image,), label))
    assert case is not None
    assert {fault.rule: fault.severity for fault in faults} == {"origin": "warning"}


def test_forms_of_two_orientations_are_told(tmp_path: Path) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    image, faults = read_image("a", [nifti(tmp_path / "i.nii", VOXELS, lps, np.eye(4))])
    assert image is not None
    (fault,) = faults
    assert (fault.rule, fault.severity, fault.found) == (
        "forms",
        "warning",
        "axes towards LPS and RAS",
    )
    assert not read_image("a", [nifti(tmp_path / "j.nii", VOXELS, lps)])[1]


def test_folds_and_subjects_of_a_monai_list(tmp_path: Path) -> None:
    entries = []
    for n in range(4):
        nifti(tmp_path / f"imagesTr/c{n}.nii.gz", VOXELS, np.eye(4))
        nifti(tmp_path / f"labelsTr/c{n}.nii.gz", VOXELS % 2, np.eye(4))
        files = {"image": f"imagesTr/c{n}.nii.gz", "label": f"labelsTr/c{n}.nii.gz"}
        entries.append({**files, "fold": n % 2, "Patient ID": f"p{n // 2}", "site": "x"})
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries}))
    found = survey(tmp_path)
    assert [(case.subject, case.fold) for case in found.cases] == [
        ("p0", "0"), ("p0", "1"), ("p1", "0"), ("p1", "1"),
    ]  # fmt: skip
    assert "'site' of the cases in dataset.json" in found.unused


def test_palettes_that_give_a_colour_two_indices_are_refused(tmp_path: Path) -> None:
    red, green = (255, 0, 0), (0, 255, 0)
    for n, palette in enumerate([(red, green), (red, green), (green, red)]):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(VOXELS[0]).save(tmp_path / f"images/c{n}.png")
        mask = Image.fromarray(VOXELS[0] % 3)
        mask.putpalette(np.ravel([(0, 0, 0), *palette]).tolist())
        mask.save(tmp_path / f"labels/c{n}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (fault,) = [f for f in inspect(tmp_path).faults if f.severity == "error"]
    assert fault.rule == "palettes"
    assert "'#ff0000' is 1 in c0 and 2 in c2" in fault.found


def test_labels_of_which_some_name_segments_are_told(tmp_path: Path) -> None:
    for n in range(3):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
        nrrd.write(str(tmp_path / f"images/c{n}.nrrd"), VOXELS, LPS)
        named = {"Segment0_Name": "tumor", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
        header = {**LPS, **(named if n else {})}
        nrrd.write(str(tmp_path / f"labels/c{n}.nrrd"), VOXELS % 2, header)
    (fault,) = [f for f in inspect(tmp_path).faults if f.rule == "unnamed segments"]
    assert fault.severity == "warning"
    assert "no names in c0" in fault.found


def test_values_without_a_name_are_told(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    named = {"Segment0_Name": "tumor", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
    for case, values in (("c0", VOXELS % 2), ("c1", VOXELS % 4)):
        nrrd.write(str(tmp_path / f"images/{case}.nrrd"), VOXELS, LPS)
        nrrd.write(str(tmp_path / f"labels/{case}.seg.nrrd"), values, {**LPS, **named})
    (fault,) = [f for f in inspect(tmp_path).faults if f.rule == "nameless values"]
    assert fault.severity == "warning"
    assert fault.file == str(tmp_path / "labels/c1.seg.nrrd")
    assert fault.found == "no name for 2, 3 in c1"
    with pytest.warns(UserWarning, match=r"c1\.seg\.nrrd: .* no name for 2, 3 in c1; name them"):
        load_cases(tmp_path, Preparation())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_cases(tmp_path, Preparation(segments=("tumor",)))


def test_segments_outside_the_image_are_told(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "i.nrrd"), VOXELS, LPS)
    named = {"Segment0_Name": "tumor", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
    shifted = {**LPS, "space origin": [2.0, 0.0, 0.0], **named}
    nrrd.write(str(tmp_path / "l.seg.nrrd"), np.ones_like(VOXELS), shifted)
    files = CaseFiles("a", "a", "", (tmp_path / "i.nrrd",), tmp_path / "l.seg.nrrd")
    case, faults = read_case(files, segments=["tumor"])
    assert case is not None
    (fault,) = faults
    assert (fault.rule, fault.severity) == ("outside", "warning")
    assert fault.found == f"voxels outside: {2 * 5 * 6} of 'tumor'"


def test_axes_at_45_degrees_turn_as_one_but_for_rounding(tmp_path: Path) -> None:
    """A label whose header differs in the fourth digit lies on the same voxels as its image."""

    def turned(degrees: float) -> Array:
        angle = np.deg2rad(degrees)
        affine = np.eye(4)
        affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return affine

    image = nifti(tmp_path / "i.nii", VOXELS, turned(45.006), turned(45.006))
    label = nifti(tmp_path / "l.nii", VOXELS % 2, turned(44.994), turned(44.994))
    case, faults = read_case(CaseFiles("a", "a", "", (image,), label))
    assert not faults
    assert case is not None
    np.testing.assert_array_equal(case.image[0] % 2, case.label)


def test_a_picture_to_be_turned_is_refused(tmp_path: Path) -> None:
    Image.fromarray(VOXELS[0]).save(tmp_path / "a.tif", tiffinfo={274: 3})
    with pytest.raises(DataError, match=r"stored upright .*, got 3; save it again"):
        read_volume(tmp_path / "a.tif")


def test_voxels_of_other_units_and_lists_beside_train_and_val_are_told(tmp_path: Path) -> None:
    for n, step in enumerate((1.0, 0.9, 0.001)):
        affine = np.diag([step, step, step, 1.0])
        nifti(tmp_path / f"imagesTr/c{n}_0000.nii.gz", VOXELS, affine)
        nifti(tmp_path / f"labelsTr/c{n}.nii.gz", VOXELS % 2, affine)
    facts = {"labels": {"background": 0, "a": 1}, "channel_names": {"0": "CT"}, "numTraining": 3}
    (tmp_path / "dataset.json").write_text(json.dumps({**facts, "file_ending": ".nii.gz"}))
    split = [{"train": ["c0"], "val": ["c1"], "test": ["c2"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(split))
    found = {fault.rule: fault.found for fault in inspect(tmp_path).faults}
    assert found["units"] == "0.001 mm in c2 and 1 mm in c0"
    assert found["lists"] == "test"


def test_a_channel_that_points_elsewhere_than_the_first_is_refused(tmp_path: Path) -> None:
    first = nifti(tmp_path / "a.nii.gz", VOXELS, np.diag([-1.0, -1.0, 1.0, 1.0]))
    second = nifti(tmp_path / "b.nii.gz", VOXELS, np.eye(4))
    _, faults = read_image("a", [first, second])
    assert {fault.rule: fault.severity for fault in faults} == {"origin": "error"}


def test_a_pipe_is_no_palette(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        palette_of(tmp_path / "a.png")
