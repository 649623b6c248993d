import math
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from normsearch.data import (
    Case,
    CaseFiles,
    SpacingWarning,
    Volume,
    find_cases,
    fingerprint,
    load_cases,
    prepare_case,
    write_volume,
)
from normsearch.errors import DataError

OPTIONS: dict[str, Any] = {"size": None, "intensity": "minmax", "foreground": None}
SPACING = (3.0, 1.0, 2.0)


def write_case(
    root: Path, name: str, image: np.ndarray | None = None, label: np.ndarray | None = None
) -> CaseFiles:
    image = np.arange(2 * 4 * 6, dtype=np.int16).reshape(2, 4, 6) if image is None else image
    label = (image > 20).astype(np.uint8) if label is None else label
    files = CaseFiles(
        name, name, "", root / "images" / f"{name}.nrrd", root / "labels" / f"{name}.nrrd"
    )
    for path, array in ((files.image, image), (files.label, label)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, Volume(array, SPACING[-array.ndim :]))
    return files


def test_find_cases_without_folds(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_case(tmp_path, name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    found = find_cases(tmp_path)
    assert [(case.id, case.subject, case.fold) for case in found] == [
        ("a", "a", ""),
        ("b", "b", ""),
    ]
    assert found[0].image == tmp_path / "images" / "a.nrrd"
    assert found[0].label == tmp_path / "labels" / "a.nrrd"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("subject,fold,slices\na,1,18\nb,02,20\n", [("a", "a", "1"), ("b", "b", "02")]),
        ("id,fold\nb,left\na,right\n", [("a", "a", "right"), ("b", "b", "left")]),
        ("fold,subject,id\n1,s,a\n1,s,b\n", [("a", "s", "1"), ("b", "s", "1")]),
    ],
)
def test_find_cases_reads_folds(table: str, expected: list[Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_case(tmp_path, name)
    (tmp_path / "folds.csv").write_text(table)
    assert [(case.id, case.subject, case.fold) for case in find_cases(tmp_path)] == expected


def test_find_cases_lists_every_unpaired_file_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_case(tmp_path, name)
    for path in ("images/a.nrrd", "labels/b.nrrd", "labels/c.nrrd"):
        (tmp_path / path).unlink()
    (tmp_path / "folds.csv").write_text("id,fold\nb,1\nc,1\ne,1\n")
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: every case must have")
    for fault in (
        "an image but no label: b, c",
        "a label but no image: a",
        "no row in folds.csv: d",
        "a row in folds.csv but no image: e",
        "add or remove",
    ):
        assert fault in text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,fold\na,1\na,2\n", r"folds\.csv: must have one row per case, got a twice; remove"),
        ("name,fold\na,1\n", r"folds\.csv: .* column id or subject, got name, fold; rename"),
        ("id,group\na,1\n", r"must have the column fold .*got id, group"),
        ("id,fold\na,\n", r"must give a subject and a fold, got none for a; fill"),
        ("", r"folds\.csv: must be a table"),
        ('id,fold\na,"1\n', r"folds\.csv: must be a table"),
    ],
)
def test_find_cases_refuses_bad_tables(table: str, message: str, tmp_path: Path) -> None:
    write_case(tmp_path, "a")
    (tmp_path / "folds.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path)


def test_find_cases_of_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images: must be a folder of \.nrrd files"):
        find_cases(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"images: must hold \.nrrd files, but has none"):
        find_cases(tmp_path)
    for suffix in ("nrrd", "nhdr"):
        (tmp_path / "images" / f"a.{suffix}").touch()
    with pytest.raises(DataError, match="one file per case, got a twice"):
        find_cases(tmp_path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_prepare_case_minmax(dtype: type, tmp_path: Path) -> None:
    image = np.arange(10, 58).reshape(2, 4, 6).astype(dtype)
    case = prepare_case(write_case(tmp_path, "a", image), **OPTIONS)
    assert case.image.shape == (2, 1, 4, 6)
    assert case.image.dtype == np.float32
    np.testing.assert_allclose(case.image[:, 0], (np.arange(48).reshape(2, 4, 6)) / 47, rtol=1e-6)
    assert case.label.shape == (2, 4, 6)
    assert case.label.dtype == np.uint8
    np.testing.assert_array_equal(case.label, image > 20)
    assert case.spacing == SPACING


def test_prepare_case_other_intensities(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(50, 300, (4, 16, 16)).astype(np.float32)
    files = write_case(tmp_path, "a", image)

    def prepared(intensity: Any) -> np.ndarray:
        return prepare_case(files, **{**OPTIONS, "intensity": intensity}).image[:, 0]

    expected = (np.clip(image, -100, 300) + 100) / 400
    np.testing.assert_allclose(prepared((-100, 300)), expected, atol=1e-6)
    low, high = np.percentile(image, [0.5, 99.5])
    expected = (np.clip(image, low, high) - low) / (high - low)
    np.testing.assert_allclose(prepared("percentile"), expected, atol=1e-6)
    expected = (image - image.mean()) / image.std()
    np.testing.assert_allclose(prepared("zscore"), expected, atol=1e-5)


@pytest.mark.parametrize("intensity", ["minmax", "percentile", "zscore"])
def test_a_constant_image_becomes_zeros(intensity: str, tmp_path: Path) -> None:
    files = write_case(tmp_path, "a", np.full((2, 4, 6), 7, np.int16))
    assert not prepare_case(files, **{**OPTIONS, "intensity": intensity}).image.any()


def test_prepare_case_merges_foreground(tmp_path: Path) -> None:
    label = (np.arange(48) % 4).reshape(2, 4, 6).astype(np.float32)
    files = write_case(tmp_path, "a", label=label)
    np.testing.assert_array_equal(prepare_case(files, **OPTIONS).label, label != 0)
    case = prepare_case(files, **{**OPTIONS, "foreground": (1, 3)})
    np.testing.assert_array_equal(case.label, label % 2 == 1)


def test_prepare_case_resizes_in_plane(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (3, 8, 12)).astype(np.int16)
    files = write_case(tmp_path, "a", image, (image > 50).astype(np.uint8))
    case = prepare_case(files, **{**OPTIONS, "size": (4, 24)})
    assert case.image.shape == (3, 1, 4, 24)
    assert case.label.shape == (3, 4, 24)
    assert case.spacing == (3.0, 2.0, 1.0)
    assert set(np.unique(case.label)) == {0, 1}
    np.testing.assert_allclose(case.image.mean(), image.mean() / image.max(), atol=0.03)
    # Nearest by pixel centres: row i of 4 lies at row 2i + 1 of 8, each column comes twice.
    np.testing.assert_array_equal(case.label, np.repeat(image > 50, 2, axis=2)[:, 1::2])


def bad(what: str) -> tuple[np.ndarray, np.ndarray]:
    image, label = np.arange(48, dtype=np.float32).reshape(2, 4, 6), np.ones((2, 4, 6), np.float32)
    if what == "shape":
        label = label[:, :, :5]
    elif what == "nan":
        image[0, 0, 0], image[1, 1, 1] = np.nan, np.inf
    elif what == "fraction":
        label[0, 0, 0] = 0.5
    elif what == "negative":
        label[0, 0, 0] = -1
    elif what == "large":
        label[0, 0, 0] = 256
    elif what == "axes":
        image, label = image[0], label[0]
    return image, label


FAULTS = {
    "shape": r"labels/a\.nrrd: must have its image's shape \(2, 4, 6\), got \(2, 4, 5\); export",
    "nan": r"images/a\.nrrd: every voxel must be finite, got 2 that are NaN or infinite; replace",
    "fraction": r"labels/a\.nrrd: a label must hold whole numbers from 0 to 255, got 0\.5; export",
    "negative": r"got -1; export",
    "large": r"got 256; export",
    "axes": r"images/a\.nrrd: must have three axes \(slice, y, x\).*got shape \(4, 6\)",
}


@pytest.mark.parametrize("what", FAULTS)
def test_prepare_case_names_the_fault(what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=FAULTS[what]):
        prepare_case(write_case(tmp_path, "a", *bad(what)), **OPTIONS)


def test_prepare_case_compares_spacings(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    label = Volume(np.ones((2, 4, 6), np.uint8), (3.0, 1.0, 2.0005))
    write_volume(files.label, label)
    prepare_case(files, **OPTIONS)
    write_volume(files.label, Volume(label.array, (3.0, 1.0, 2.002)))
    with pytest.raises(
        DataError, match=r"its image's spacing \(3.0, 1.0, 2.0\) mm, got \(3.0, 1.0"
    ):
        prepare_case(files, **OPTIONS)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"intensity": "minmx"}, r"one of minmax, percentile, zscore .*Did you mean 'minmax'\?"),
        ({"intensity": (3.0, 3.0)}, "low < high"),
        ({"size": (0, 4)}, "two numbers of pixels"),
        ({"foreground": (0, 1)}, "label values from 1 to 255"),
        ({"foreground": ()}, "label values from 1 to 255"),
    ],
)
def test_options_are_checked(option: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_case(tmp_path, "a")
    with pytest.raises(DataError, match=message):
        load_cases(tmp_path, **{**OPTIONS, **option})


def test_load_cases_tells_one_fault_as_it_is_and_several_together(tmp_path: Path) -> None:
    write_case(tmp_path, "good")
    write_case(tmp_path, "a", *bad("shape"))
    with pytest.raises(DataError, match="^" + str(tmp_path / "labels" / "a.nrrd")):
        load_cases(tmp_path, **OPTIONS)
    path = write_case(tmp_path, "b").image
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError) as caught:
        load_cases(tmp_path, **OPTIONS)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: 2 cases cannot be used: ")
    assert "a.nrrd: must have its image's shape" in text
    assert "; " + str(path) + ": the gzip data must be whole" in text


def test_load_cases_warns_once_of_missing_spacings(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for name in "abc":
            path = str(tmp_path / part / f"{name}.nrrd")
            nrrd.write(path, np.ones((4, 3, 2), np.uint8), {"kinds": ["domain", "domain", "list"]})
    with pytest.warns(SpacingWarning) as caught:
        cases = load_cases(tmp_path, **OPTIONS)
    assert [str(w.message) for w in caught] == [
        f"{tmp_path}: 6 files give no spacing; 1 mm is assumed"
    ]
    np.testing.assert_array_equal(cases[0].spacing, (math.nan, 1, 1))


def test_fingerprint_changes_with_every_part_and_not_with_order() -> None:
    def case(**changes: Any) -> Case:
        fields = {
            "id": "a",
            "subject": "s",
            "fold": "1",
            "image": np.zeros((2, 1, 3, 3), np.float32),
            "label": np.zeros((2, 3, 3), np.uint8),
            "spacing": SPACING,
        }
        return Case(**{**fields, **changes})

    image, label = case().image.copy(), case().label.copy()
    image[0, 0, 0, 0] = label[0, 0, 0] = 1
    variants = [
        {},
        {"id": "b"},
        {"subject": "t"},
        {"fold": "2"},
        {"image": image},
        {"label": label},
        {"image": image.reshape(1, 2, 3, 3)},
    ]
    prints = {fingerprint([case(**changes)]) for changes in variants}
    assert len(prints) == len(variants)
    assert all(len(text) == 64 for text in prints)
    pair = [case(), case(id="b")]
    assert fingerprint(pair) == fingerprint(pair[::-1])
