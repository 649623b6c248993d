import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.data import find_cases, survey
from normsearch.data.description import read_labels
from normsearch.errors import DataError


def write_set(root: Path, **changes: Any) -> Path:
    """The decathlon's folder with two cases of empty files."""
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
        for name in ("la_2", "la_1"):
            (root / part / f"{name}.nii.gz").touch()
        (root / part / "._la_1.nii.gz").touch()  # what macOS leaves in the decathlon's archives
    entries = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in ("la_2", "la_1")
    ]
    facts = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "atrium"}}
    (root / "dataset.json").write_text(json.dumps({**facts, "training": entries, **changes}))
    return root


def test_cases_and_labels_of_dataset_json(tmp_path: Path) -> None:
    found = survey(write_set(tmp_path))
    assert (found.layout, found.labels) == ("msd", {0: "background", 1: "atrium"})
    assert found.channel_names == ("MRI",)
    assert [(case.id, case.subject, case.fold) for case in found.cases] == [
        ("la_1", "la_1", ""),
        ("la_2", "la_2", ""),
    ]
    assert found.cases[0].images == (tmp_path / "imagesTr" / "la_1.nii.gz",)
    assert found.cases[0].label == tmp_path / "labelsTr" / "la_1.nii.gz"


def test_folds_csv_gives_subjects_and_folds(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "folds.csv").write_text("id,subject,fold\nla_1,p,1\nla_2,p,1\n")
    assert {(case.subject, case.fold) for case in find_cases(tmp_path)} == {("p", "1")}


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    for path in ("imagesTr/la_1.nii.gz", "labelsTr/la_2.nii.gz"):
        (tmp_path / path).unlink()
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    for path in ("imagesTr/la_1.nii.gz", "labelsTr/la_2.nii.gz"):
        assert f"{tmp_path / path}: must exist, as dataset.json names it, got no such" in str(
            caught.value
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training": [{"image": "imagesTr/la_1.nii.gz"}]},
            r"training as a list .*KeyError\('label'",
        ),
        ({"training": 3}, "must give training as a list"),
        ({"labels": ["a"]}, "labels as {value: name}"),
        (
            {"training": [{"image": "../../x.nii.gz", "label": "labelsTr/la_1.nii.gz"}]},
            r"every file must lie under .*, got '\.\./\.\./x\.nii\.gz'; move",
        ),
        (
            {"training": [{"image": "/etc/x.nii.gz", "label": "labelsTr/la_1.nii.gz"}]},
            r"every file must lie under .*, got '/etc/x\.nii\.gz'; move",
        ),
        (
            {"training": [{"image": "imagesTr/la_1.nii.gz", "label": "labelsTr/la_1.nii.gz"}] * 2},
            "dataset.json: must have one row per case, got la_1 twice",
        ),
    ],
)
def test_what_dataset_json_must_not_be(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        find_cases(write_set(tmp_path, **changes))


def test_dataset_json_that_is_none(tmp_path: Path) -> None:
    (write_set(tmp_path) / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json: must be valid JSON, got"):
        find_cases(tmp_path)


def test_names_of_labels_in_both_directions() -> None:
    expected = {0: "background", 1: "edema", 2: "core"}
    assert read_labels({"0": "background", "1": "edema", "2": "core"}).names == expected
    assert read_labels({"background": 0, "edema": 1, "core": 2}).names == expected


def test_what_dataset_json_says_beside_the_list(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "atrium", "2": "Ignore"}
    root = write_set(tmp_path, labels=labels, numTraining=3, numTest=1, relase="1.0")
    (root / "imagesTs").mkdir()
    (root / "imagesTr" / "extra.nii.gz").touch()
    found = survey(root)
    assert (found.channels, found.ignored) == (1, (2,))
    assert [(fault.rule, fault.severity) for fault in found.faults] == [("count", "warning")]
    assert found.unused == (
        "numTest of dataset.json", "imagesTr/: 1 files that training does not list", "imagesTs/",
    )  # fmt: skip
