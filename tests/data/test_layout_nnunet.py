import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.data import find_cases, survey
from normsearch.errors import DataError


def write_set(
    root: Path, *, cases: tuple[str, ...] = ("p_1", "p_2", "p_3"), **changes: Any
) -> Path:
    """nnU-Net's raw folder with empty files, two channels each."""
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    for name in cases:
        for channel in ("0000", "0001"):
            (root / "imagesTr" / f"{name}_{channel}.nrrd").touch()
        (root / "labelsTr" / f"{name}.nrrd").touch()
    facts = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": len(cases),
        "file_ending": ".nrrd",
    }
    (root / "dataset.json").write_text(json.dumps({**facts, **changes}))
    return root


def test_a_file_per_channel(tmp_path: Path) -> None:
    found = survey(write_set(tmp_path))
    assert (found.layout, found.labels) == ("nnunet", {0: "background", 1: "tumour"})
    assert [case.id for case in found.cases] == ["p_1", "p_2", "p_3"]
    assert [path.name for path in found.cases[1].images] == ["p_2_0000.nrrd", "p_2_0001.nrrd"]
    assert found.cases[1].label.name == "p_2.nrrd"


def test_version_1_has_modality_and_gzipped_nifti(tmp_path: Path) -> None:
    for path in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    entries = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    facts = {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": entries}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    found = survey(tmp_path)
    assert (found.layout, found.faults) == ("nnunet", [])
    assert [path.name for path in found.cases[0].images] == ["a_0000.nii.gz"]


def test_fold_k_is_what_split_k_validates_on(tmp_path: Path) -> None:
    write_set(tmp_path)
    splits = [
        {"train": ["p_1", "p_2"], "val": ["p_3"]},
        {"train": ["p_2", "p_3"], "val": ["p_1"]},
    ]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    folds = {case.id: case.fold for case in find_cases(tmp_path)}
    assert folds == {"p_1": "1", "p_2": "", "p_3": "0"}
    (tmp_path / "folds.csv").write_text("id,fold\np_1,a\np_2,a\np_3,b\n")
    assert [case.fold for case in find_cases(tmp_path)] == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            [{"val": ["p_1"]}, {"val": ["p_1"]}],
            "validated on in one split at most, got p_1 in 0 and",
        ),
        ([{"train": ["p_1"]}], r"list of \{train, val\}, .*KeyError"),
        (3, r"splits_final.json: must be a list of \{train, val\}"),
    ],
)
def test_bad_splits(splits: object, message: str, tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path)


def test_missing_channels_and_labels_are_all_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "imagesTr" / "p_1_0001.nrrd").unlink()
    (tmp_path / "labelsTr" / "p_2.nrrd").unlink()
    for channel in ("0000", "0001"):
        (tmp_path / "imagesTr" / f"p_3_{channel}.nrrd").unlink()
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    for fault in (
        "imagesTr: must hold p_1_0000 to p_1_0001, a file per channel, got _0000; add",
        "p_2_0000.nrrd: must have a label of its name in labelsTr/, got none; add",
        "imagesTr: must hold p_3_0000 to p_3_0001, a file per channel, got none; add",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"channel_names": None},
            r"must give channel_names, labels and file_ending, got .*modality",
        ),
        ({"labels": 3}, "must give channel_names, labels"),
        ({"file_ending": ".nii.gz"}, r"imagesTr: must hold images \(\.nii\.gz\), but has none"),
    ],
)
def test_bad_dataset_json(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        find_cases(write_set(tmp_path, **changes))


def test_a_file_without_a_channel(tmp_path: Path) -> None:
    (write_set(tmp_path) / "imagesTr" / "p_4.nrrd").touch()
    with pytest.raises(DataError, match=r"p_4\.nrrd: must be named CASE_0000 and so on"):
        find_cases(tmp_path)
