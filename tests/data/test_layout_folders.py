from pathlib import Path
from typing import Any

import pytest

from normsearch.data import find_cases, survey
from normsearch.errors import DataError
from tests.data.made_up import write_case


def test_find_cases_without_folds(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_case(tmp_path, name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    found = find_cases(tmp_path)
    assert [(case.id, case.subject, case.fold) for case in found] == [
        ("a", "a", ""),
        ("b", "b", ""),
    ]
    assert found[0].images == (tmp_path / "images" / "a.nrrd",)
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
    assert text.startswith(f"{tmp_path}: 5 faults must be corrected: ")
    for fault in (
        "images/b.nrrd: must have a file of its name in labels/, got none; add labels/b",
        "images/c.nrrd: must have a file of its name in labels/",
        "labels/a.nrrd: must have a file of its name in images/, got none; add images/a",
        "folds.csv: must have one row for every case, got none; add d",
        "folds.csv: must have rows only for cases, got e; remove the row",
    ):
        assert fault in text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,fold\na,1\na,2\n", r"folds\.csv: must have one row per case, got a twice; remove"),
        ("name,fold\na,1\n", r"folds\.csv: .* column id or subject, .* got fold, name; rename"),
        ("id,group\na,1\n", r"must have the column fold .*got id, subject; rename"),
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
    with pytest.raises(
        DataError, match=r"images: must be a folder of images \(\.nrrd, .*check its"
    ):
        find_cases(tmp_path, "folders")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"images: must hold images \(\.nrrd, .*but has none"):
        find_cases(tmp_path)


def test_formats_may_differ_and_an_id_comes_once(tmp_path: Path) -> None:
    for path in ("images/a.nii.gz", "labels/a.nrrd", "images/.a.nrrd"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (case,) = find_cases(tmp_path)
    assert (case.id, case.images[0].name, case.label.name) == ("a", "a.nii.gz", "a.nrrd")
    (tmp_path / "images" / "a.png").touch()
    with pytest.raises(
        DataError, match="images: must have one file per case, got a twice; remove o"
    ):
        find_cases(tmp_path)


def test_what_is_not_used_is_listed(tmp_path: Path) -> None:
    write_case(tmp_path, "a")
    (tmp_path / "folds.csv").write_text("id,fold,age\na,1,40\n")
    (tmp_path / "folds_old.csv").write_text("id,fold\na,1\n")
    (tmp_path / "imagesTs").mkdir()
    (tmp_path / "README.md").write_text("for people")
    (tmp_path / "images" / "b.mha").touch()
    assert survey(tmp_path).unused == (
        "column 'age' of folds.csv", "folds_old.csv", "imagesTs/", "images/*.mha (1)"
    )  # fmt: skip
