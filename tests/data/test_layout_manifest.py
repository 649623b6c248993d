import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.data import find_cases, survey
from normsearch.errors import DataError

ROWS = [
    {"id": "b", "image": "scans/b1.nrrd;scans/b2.nrrd", "label": "masks/b.nrrd", "group": "p"},
    {"id": "a", "image": "scans/a1.nrrd; scans/a2.nrrd", "label": "masks/a.nrrd", "group": "p"},
]


def write_files(root: Path) -> Path:
    for path in ("scans/a1", "scans/a2", "scans/b1", "scans/b2", "masks/a", "masks/b"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}.nrrd").touch()
    return root


def as_csv(rows: list[dict[str, str]]) -> str:
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("form", ["csv", "json", "cases", "lists"])
def test_tables_and_lists(form: str, named: bool, tmp_path: Path) -> None:
    write_files(tmp_path)
    rows: Any = [{**row, "fold": "7", "age": "40"} for row in ROWS]
    if form == "lists":
        rows = [{**row, "image": row["image"].split(";"), "fold": 7} for row in rows]
    raw = (
        as_csv(rows) if form == "csv" else json.dumps({"cases": rows} if form == "cases" else rows)
    )
    name = ("mine" if named else "manifest") + (".csv" if form == "csv" else ".json")
    (tmp_path / name).write_text(raw)
    found = survey(tmp_path / name if named else tmp_path)
    assert (found.layout, found.root, found.faults) == ("manifest", tmp_path, [])
    facts = [(case.id, case.subject, case.fold, len(case.images)) for case in found.cases]
    assert facts == [("a", "p", "7", 2), ("b", "p", "7", 2)]
    assert found.cases[0].images[1] == tmp_path / "scans" / "a2.nrrd"
    assert found.cases[0].label == tmp_path / "masks" / "a.nrrd"


def test_image_and_label_are_enough(tmp_path: Path) -> None:
    (write_files(tmp_path) / "manifest.csv").write_text("label,image\nmasks/a.nrrd,scans/a1.nrrd\n")
    (case,) = find_cases(tmp_path)
    assert (case.id, case.subject, case.fold) == ("a1", "a1", "")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,file\nscans/a1.nrrd,masks/a.nrrd", "got no label in row 1; fill it in"),
        (
            "image,label,subject,Patient_ID\nscans/a1.nrrd,masks/a.nrrd,p,p",
            "one column must give the subject, got 'subject' and 'Patient_ID', which mean the same",
        ),
        ("image,label,subejct\nscans/a1.nrrd,masks/a.nrrd,p", "Did you mean 'subject'?"),
        ("image,label,pat no (anonymous)\nscans/a1.nrrd,masks/a.nrrd,p", "mean 'subject'?"),
        (
            "image1,image2,label\nscans/a1.nrrd,scans/a2.nrrd,masks/a.nrrd",
            "files of all channels in the column image, separated by ;",
        ),
        ("image,lable\nscans/a1.nrrd,masks/a.nrrd", "Did you mean 'label'?"),
        ("image,label\n;,masks/a.nrrd", "got no image in row 1"),
        ("image,label\n../a.nrrd,masks/a.nrrd", r"every file must lie under .*got '\.\./a\.nrrd'"),
        ("image,label\nscans/a1.nrrd,/a.nrrd", r"every file must lie under .*got '/a\.nrrd'"),
        ("image,label", "must be a list of cases, each with image and label, got none"),
        (
            "id,image,label\nx,scans/a1.nrrd,masks/a.nrrd\nx,scans/b1.nrrd,masks/b.nrrd",
            "got x twice",
        ),
        ("image,label\nscans/c.nrrd,masks/a.nrrd", r"scans/c\.nrrd: must exist, as manifest\.csv"),
    ],
)
def test_bad_tables(table: str, message: str, tmp_path: Path) -> None:
    (write_files(tmp_path) / "manifest.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path)


@pytest.mark.parametrize("raw", ['{"cases": 3}', "[1]", "{}", "[]"])
def test_bad_lists(raw: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(raw)
    with pytest.raises(DataError, match="must be a list of cases"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    "word",
    [
        *("Subject", "subject ", "SUBJECT_ID", "patient", "Patient-ID", "patientId", "Participant"),
        *("group", "case", "MRN", "patient number", "\N{ZERO WIDTH NO-BREAK SPACE}subject"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "tsv", "json", "semicolons"])
def test_a_patient_by_any_usual_word(word: str, form: str, tmp_path: Path) -> None:
    header, row = ["ID", "Image", "mask", word], ["a", "scans/a1.nrrd", "masks/a.nrrd", "p"]
    separator = {"csv": ",", "tsv": "\t", "semicolons": ";"}.get(form, "")
    path = write_files(tmp_path) / f"manifest.{form.replace('semicolons', 'csv')}"
    table = f"{separator.join(header)}\n{separator.join(row)}\n"
    raw = json.dumps([dict(zip(header, row, strict=True))]) if form == "json" else table
    path.write_text(raw, encoding="utf-8-sig")
    found = survey(tmp_path)
    assert [(case.id, case.subject) for case in found.cases] == [("a", "p")]
    assert found.unused == ()


def test_case_alone_is_the_id(tmp_path: Path) -> None:
    (write_files(tmp_path) / "manifest.csv").write_text(
        "case,image,seg\nx,scans/a1.nrrd,masks/a.nrrd\n"
    )
    (case,) = find_cases(tmp_path)
    assert (case.id, case.subject) == ("x", "x")


@pytest.mark.parametrize("word", ["NA", "null", "nan", "None", "N/A", "007"])
def test_words_for_nothing_are_names(word: str, tmp_path: Path) -> None:
    (write_files(tmp_path) / "manifest.csv").write_text(
        f"id,image,label,subject,fold\n{word},scans/a1.nrrd,masks/a.nrrd,{word},{word}\n"
    )
    (case,) = find_cases(tmp_path)
    assert (case.id, case.subject, case.fold) == (word, word, word)


def test_what_is_not_used_is_listed(tmp_path: Path) -> None:
    (write_files(tmp_path) / "manifest.csv").write_text(
        ",image,label,age,sex\n0,scans/a1.nrrd,masks/a.nrrd,40,f\n"  # pandas writes such an index
    )
    (tmp_path / "folds.csv").write_text("id,fold\na1,1\n")
    assert survey(tmp_path).unused == (
        "column 'column 1' of manifest.csv", "column 'age' of manifest.csv",
        "column 'sex' of manifest.csv", "folds.csv",
    )  # fmt: skip
