"""Label values that nobody annotated, from the files to prepared cases."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.data import Augmentation, Preparation, Volume, inspect, load_cases, write_volume
from normsearch.data.loader import SampleLoader
from normsearch.errors import DataError
from normsearch.labels import IGNORED
from tests.data.made_up import SPACING

LABEL = np.zeros((2, 4, 6), np.uint8)
LABEL[0, :2], LABEL[0, 2:], LABEL[1, :, :3] = 1, 3, 2


def write_nnunet(root: Path, labels: dict[str, Any], label: np.ndarray = LABEL) -> Path:
    for name in ("a", "b"):
        image = np.arange(LABEL.size, dtype=np.int16).reshape(LABEL.shape)
        write_volume(root / "imagesTr" / f"{name}_0000.nrrd", Volume(image, SPACING))
        write_volume(root / "labelsTr" / f"{name}.nrrd", Volume(label, SPACING))
    facts = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nrrd"}
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


IGNORING = {"background": 0, "tumour": 1, "cyst": 2, "Ignore": 3}


@pytest.mark.parametrize(
    ("choice", "indices"),
    [
        ({}, [0, 1, 1, IGNORED]),
        ({"foreground": (2,)}, [0, 0, 1, IGNORED]),
        ({"classes": (2, 1)}, [0, 2, 1, IGNORED]),
    ],
)
def test_what_nnunet_ignores_becomes_255(
    choice: dict[str, Any], indices: list[int], tmp_path: Path
) -> None:
    cases = load_cases(write_nnunet(tmp_path, IGNORING), Preparation(**choice))
    expected = np.array(indices, np.uint8)[LABEL]
    for case in cases:
        np.testing.assert_array_equal(case.label, expected)


def test_a_task_may_ignore_values_of_any_layout(tmp_path: Path) -> None:
    write_nnunet(tmp_path, {"background": 0, "tumour": 1, "cyst": 2})
    (case, _) = load_cases(tmp_path, Preparation(ignore=(3,), classes=(1, 2)))
    np.testing.assert_array_equal(case.label, np.array([0, 1, 2, IGNORED], np.uint8)[LABEL])
    (case, _) = load_cases(write_nnunet(tmp_path, IGNORING), Preparation(ignore=(2,)))
    np.testing.assert_array_equal(case.label, np.array([0, 1, 255, 255], np.uint8)[LABEL])


def test_it_survives_another_size_and_rotations(tmp_path: Path) -> None:
    cases = load_cases(write_nnunet(tmp_path, IGNORING), Preparation(size=(9, 7), classes=(1, 2)))
    assert set(np.unique(cases[0].label)) == {0, 1, 2, IGNORED}
    augment = Augmentation(rotation=(-60, 60, 2), flip=("y",), seed=1)
    loader = SampleLoader(cases, 8, 0, outputs=3, augment=augment)
    _, truth = next(loader.batches(0))
    assert set(truth.unique().tolist()) == {0, 1, 2, IGNORED}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"foreground": (3,)}, "neither foreground nor classes, got 3; take"),
        ({"ignore": (1,), "classes": (1, 2)}, "neither foreground nor classes, got 1; take"),
        ({"ignore": (9,)}, "ignore must be label values of the data set .* got 9"),
        ({"ignore": (256,)}, "must lie from 0 to 255"),
    ],
)
def test_what_cannot_be_ignored(choice: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_nnunet(tmp_path, IGNORING)
    with pytest.raises(DataError, match=message):
        load_cases(tmp_path, Preparation(**choice))


def test_regions_must_be_asked_for_by_values(tmp_path: Path) -> None:
    labels = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3]}
    root = write_nnunet(tmp_path, labels)
    with pytest.raises(DataError) as caught:
        load_cases(root, Preparation())
    for told in (
        "whole tumour: [1, 2, 3]; core: [2, 3]",
        "task.foreground: [1, 2, 3] for 'whole tumour'",
        "task.classes: [1, 2, 3] for each",
    ):
        assert told in str(caught.value)
    (case, _) = load_cases(root, Preparation(foreground=(2, 3)))
    np.testing.assert_array_equal(case.label, np.isin(LABEL, (2, 3)))
    (warning,) = (fault for fault in inspect(root).warnings if fault.rule == "regions")
    assert "task.foreground: [1, 2, 3]" in warning.cure


def test_validate_counts_ignored_voxels_apart(tmp_path: Path) -> None:
    facts = inspect(write_nnunet(tmp_path, IGNORING)).summary()
    assert list(facts["classes"]) == ["1", "2"]
    assert facts["ignored"] == {"values": [3], "cases": 2, "voxels": 24, "share": 24 / 96}
    assert facts["classes"]["1"]["share"] == 24 / 96
    there, called = 12 + 12, 48 - 12  # of each case
    assert facts["foreground"] == {
        "share": 48 / 96, "dice_everywhere": pytest.approx(2 * there / (there + called)),
    }  # fmt: skip
