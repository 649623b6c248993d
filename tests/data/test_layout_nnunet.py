import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.data import find_cases, survey
from normsearch.data.cases import SplitLists
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
        "channel_names": {"0": "X1", "1": "X2"},
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
    assert found.channel_names == ("X1", "X2")


def test_version_1_has_modality_and_gzipped_nifti(tmp_path: Path) -> None:
    for path in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    entries = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    facts = {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": entries}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    found = survey(tmp_path)
    assert (found.layout, found.faults) == ("nnunet", [])
    assert found.channel_names == ("CT",)
    assert [path.name for path in found.cases[0].images] == ["a_0000.nii.gz"]


def test_each_case_knows_the_lists_that_name_it(tmp_path: Path) -> None:
    write_set(tmp_path)
    splits = [
        {"train": ["p_1", "p_2"], "val": ["p_3"]},
        {"train": ["p_2"], "val": ["p_1", "p_3"]},
    ]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    found = survey(tmp_path)
    assert {case.id: case.lists for case in found.cases} == {
        "p_1": SplitLists(("0",), ("1",)),
        "p_2": SplitLists(("0", "1"), ()),
        "p_3": SplitLists((), ("0", "1")),
    }
    assert {case.id: (case.fold, case.folds) for case in found.cases} == {
        "p_1": ("1", ("1",)), "p_2": ("", ()), "p_3": ("0", ("0", "1")),
    }  # fmt: skip
    assert (found.faults, found.unused) == ([], ())
    (tmp_path / "folds.csv").write_text("id,fold\np_1,a\np_2,a\np_3,b\n")
    assert [(case.fold, case.lists) for case in find_cases(tmp_path)] == [
        ("a", None), ("a", None), ("b", None),
    ]  # fmt: skip
    assert survey(tmp_path).unused == ("splits_final.json",)


def test_a_pickle_of_splits_is_named_as_not_read(tmp_path: Path) -> None:
    (write_set(tmp_path) / "splits_final.pkl").touch()
    assert survey(tmp_path).unused == ("splits_final.pkl",)


def test_numbers_tests_and_readers_that_are_not_used(tmp_path: Path) -> None:
    write_set(tmp_path, overwrite_image_reader_writer="X", numTest=3, name="a name", test=[])
    (tmp_path / "imagesTs").mkdir()
    (tmp_path / "imagesTr" / "p_4_0000.nii.gz").touch()
    found = survey(tmp_path)
    assert (found.faults, found.unused) == (
        [],
        (
            "overwrite_image_reader_writer of dataset.json", "numTest of dataset.json",
            "test of dataset.json", "imagesTs/", "imagesTr/*.gz (1)",
        ),
    )  # fmt: skip


@pytest.mark.parametrize("number", [2, "4"])
def test_a_number_of_cases_that_are_not_there(number: object, tmp_path: Path) -> None:
    (fault,) = survey(write_set(tmp_path, numTraining=number)).faults
    assert fault.severity == "warning"
    assert f"give numTraining as 3, the number of cases, got {number}; copy" in str(fault)


@pytest.mark.parametrize("word", ["ignore", "Ignore", " IGNORE "])
def test_an_ignored_value_is_no_class(word: str, tmp_path: Path) -> None:
    found = survey(write_set(tmp_path, labels={"background": 0, "tumour": 1, word: 2}))
    assert (found.labels, found.ignored) == ({0: "background", 1: "tumour"}, (2,))
    assert found.values == [0, 1, 2]


def test_regions_name_their_values(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "edge": 4, "ignore": 5}
    found = survey(write_set(tmp_path, labels=labels, regions_class_order=[1, 2, 4]))
    assert found.regions == {"whole": (1, 2, 3), "core": (2, 3)}
    assert found.labels == {
        0: "background", 1: "whole", 2: "whole, core", 3: "whole, core", 4: "edge",
    }  # fmt: skip
    assert found.ignored == (5,)
    assert found.unused == ("regions_class_order of dataset.json",)


def test_a_background_that_is_not_0(tmp_path: Path) -> None:
    (fault,) = survey(write_set(tmp_path, labels={"tumour": 0, "background": 1})).faults
    assert "give the value 0 to the background, got 1" in str(fault)


def test_names_that_begin_another(tmp_path: Path) -> None:
    names = ("case_1", "case_10", "a", "a_0000", "a_0000_0001")
    found = survey(write_set(tmp_path, cases=names))
    assert found.faults == []
    for case in found.cases:
        assert [path.name for path in (*case.images, case.label)] == [
            f"{case.id}_0000.nrrd", f"{case.id}_0001.nrrd", f"{case.id}.nrrd",
        ]  # fmt: skip
    assert {case.id for case in found.cases} == set(names)


def test_the_list_of_version_1_is_compared(tmp_path: Path) -> None:
    entries = [{"image": f"./imagesTr/{n}.nrrd", "label": f"./labelsTr/{n}.nrrd"} for n in "xy"]
    faults = survey(write_set(tmp_path, cases=("x", "z"), training=entries)).faults
    assert [(fault.case, fault.severity) for fault in faults] == [("y", "error"), ("", "warning")]
    assert "list every case of labelsTr/ under training, got none for z" in str(faults[1])


def test_files_listed_under_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="under dataset, which is not read; write the list as a"):
        find_cases(write_set(tmp_path, dataset={"p": {"images": [], "label": ""}}))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([{"train": ["p_1"], "val": ["p_1"]}], "train and validate on the same case, got p_1 in b"),
        ([{"train": ["p_1"]}], r"list of \{train, val\}, .*got \{'train': .* as split 0"),
        ([{"train": "p_1", "val": ["p_2"]}], r"list of \{train, val\}, .* as split 0"),
        (3, r"splits_final.json: must be a list of \{train, val\}"),
        ([], "got an empty list"),
    ],
)
def test_bad_splits(splits: object, message: str, tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path)


def test_every_unknown_name_of_a_split_is_listed(tmp_path: Path) -> None:
    write_set(tmp_path)
    splits = [
        {"train": ["p_1", "P_2"], "val": ["p_3.nrrd"]}, {"train": ["other"], "val": ["p_1"]},
    ]  # fmt: skip
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    error, warning = survey(tmp_path).faults
    for told in (
        "'P_2' (train of split 0), did you mean 'p_2'?",
        "'p_3.nrrd' (val of split 0), did you mean 'p_3'?",
        "'other' (train of split 1)",
    ):
        assert told in error.found
    assert (error.severity, warning.severity) == ("error", "warning")
    assert "p_2, p_3 in neither list of splits 0, 1" in str(warning)


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
