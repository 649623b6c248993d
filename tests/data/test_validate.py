import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.data import Volume, inspect, write_volume
from tests.data.made_up import SPACING, write_case

NAN = float("nan")


def write_faulty_set(root: Path) -> dict[str, str]:
    """Write a data set with one fault a case; return the fault's rule by case ('' for none)."""
    rng = np.random.default_rng(0)
    image = rng.normal(0, 100, (3, 8, 6)).astype(np.float32)
    label = (image > 100).astype(np.uint8)
    directions = np.diag(SPACING)[:, ::-1]

    def write(name: str, image: Any = image, label: Any = label, **geometry: Any) -> None:
        for part, array in (("images", image), ("labels", label)):
            moved = geometry if part == "labels" else {}
            facts: dict[str, Any] = {"origin": (0, 0, 0), "directions": directions, **moved}
            spacing = facts.pop("spacing", SPACING)
            write_volume(root / part / f"{name}.nrrd", Volume(array, spacing, **facts))

    holed = image.copy()
    holed[0, 0, :2] = np.nan
    turned = directions @ np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]])
    write("good")
    write("nan", image=holed)
    write("half", label=label * np.float32(0.5))
    write("short", label=label[:2])
    write("stretched", spacing=(3.0, 1.0, 2.5), directions=np.diag((3.0, 1.0, 2.5))[:, ::-1])
    write("shifted", origin=(0, 0, 0.5))
    write("nudged", origin=(0, 0, 0.005))  # within the tolerance
    write("turned", directions=turned)
    write("torn")
    path = root / "images" / "torn.nrrd"
    path.write_bytes(path.read_bytes()[:-20])
    write("lonely")
    (root / "labels" / "lonely.nrrd").unlink()
    write("double")
    write_volume(root / "images" / "double.nhdr", Volume(image, SPACING))
    return {
        "nan": "finite",
        "half": "values",
        "short": "shape",
        "stretched": "spacing",
        "shifted": "origin",
        "turned": "direction",
        "torn": "unreadable",
        "lonely": "unpaired",
        "double": "twice",
    }


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    expected = write_faulty_set(tmp_path)
    report = inspect(tmp_path)
    assert {fault.case: fault.rule for fault in report.faults} == expected
    assert len(report.faults) == len(expected)
    assert {fault.case for fault in report.warnings} == {"shifted", "turned"}
    for fault in report.faults:
        assert fault.found
        assert fault.expected
        assert fault.cure
        place = (
            "images" if fault.rule in ("finite", "unreadable", "unpaired", "twice") else "labels"
        )
        assert Path(fault.file).relative_to(tmp_path).parts[0] == place
    raw = json.loads(json.dumps(report.to_json()))
    assert {fault["case"] for fault in raw["errors"] + raw["warnings"]} == set(expected)
    assert raw["errors"][0].keys() == {
        "rule",
        "case",
        "file",
        "expected",
        "found",
        "cure",
        "severity",
    }


def test_several_faults_of_one_case(tmp_path: Path) -> None:
    image = np.full((2, 4, 6), np.nan, np.float32)
    write_case(tmp_path, "a", image, np.full((2, 4, 5), -3, np.int16))
    rules = [fault.rule for fault in inspect(tmp_path).faults]
    assert rules == ["finite", "values", "shape"]


def test_the_summary_counts_what_is_there(tmp_path: Path) -> None:
    label = np.zeros((2, 4, 6), np.uint8)
    label[0, 0] = 2
    write_case(tmp_path, "a", label=label)
    label[1] = 5
    write_case(tmp_path, "b", np.full((2, 4, 6), -7, np.int16), label)
    write_case(tmp_path, "c", np.zeros((9, 4, 6), np.int16), np.zeros((9, 4, 6), np.uint8))
    (tmp_path / "folds.csv").write_text("id,subject,fold\na,s,1\nb,s,1\nc,t,2\n")
    facts = inspect(tmp_path).summary()
    assert (facts["cases"], facts["readable"], facts["subjects"]) == (3, 3, 2)
    assert (facts["layout"], facts["kind"], facts["channels"]) == ("folders", "segmentation", [1])
    assert facts["folds"] == {"1": 2, "2": 1}
    assert facts["shapes"] == {"least": [2, 4, 6], "median": [2, 4, 6], "greatest": [9, 4, 6]}
    assert facts["spacings"]["median"] == list(SPACING)
    assert (facts["intensities"]["lowest"], facts["intensities"]["highest"]) == (-7, 47)
    voxel = 3 * 1 * 2 / 1000
    assert facts["classes"] == {
        "2": {
            "name": "",
            "cases": 2,
            "voxels": 12,
            "share": 12 / 312,
            "mean_ml": pytest.approx(6 * voxel),
        },
        "5": {
            "name": "",
            "cases": 1,
            "voxels": 24,
            "share": 24 / 312,
            "mean_ml": pytest.approx(24 * voxel),
        },
    }
    scores = [2 * 6 / (6 + 48), 2 * 30 / (30 + 48), 0]
    assert facts["foreground"] == {
        "share": 36 / 312,
        "dice_everywhere": pytest.approx(sum(scores) / 3),
    }
    assert (facts["ignored"], facts["regions"], facts["unused"]) == (None, {}, [])


def test_channels_that_differ_and_pictures(tmp_path: Path) -> None:
    colour = np.zeros((3, 8, 8), np.uint8)
    for name in "abc":
        grey = Volume(np.zeros((8, 8), np.uint8), (NAN, NAN))
        write_volume(tmp_path / "labels" / f"{name}.png", grey)
        rgb = Volume(colour, (NAN, NAN, NAN), kinds=("vector", "domain", "domain"))
        write_volume(tmp_path / "images" / f"{name}.png", grey if name == "b" else rgb)
    report = inspect(tmp_path)
    (fault,) = report.errors
    assert (fault.case, fault.rule) == ("b", "channels")
    assert "must have 3 channels, as the other cases, got 1" in str(fault)
    assert report.summary()["shapes"]["median"] == [1, 8, 8]


def test_label_values_that_dataset_json_does_not_name(tmp_path: Path) -> None:
    label = np.zeros((2, 4, 6), np.uint8)
    label[0, 0, :2] = 1, 9
    files = write_case(tmp_path, "a", label=label)
    entry = {
        part: str(path.relative_to(tmp_path))
        for part, path in zip(("image", "label"), (files.images[0], files.label), strict=True)
    }
    raw = {"training": [entry], "labels": {"0": "background", "1": "liver"}}
    (tmp_path / "dataset.json").write_text(json.dumps(raw))
    (fault,) = inspect(tmp_path).errors
    assert "a.nrrd: must hold the label values 0, 1 alone, got 9; correct the mask" in str(fault)


@pytest.mark.parametrize("inverted", [False, True])
def test_foreground_everywhere_that_scores_well(inverted: bool, tmp_path: Path) -> None:
    label = np.zeros((2, 4, 6), np.uint8)
    label[0, :2] = 1
    label = 1 - label if inverted else label
    write_case(tmp_path, "a", label=label)
    write_case(tmp_path, "b", label=label)
    warnings = [fault for fault in inspect(tmp_path).warnings if fault.rule == "trivial"]
    if inverted:
        (warning,) = warnings
        assert f"a mean Dice of {2 * 36 / (36 + 48):.2f} for predicting foreground" in str(warning)
        assert "whether the masks are inverted" in warning.cure
    else:
        assert warnings == []


def test_a_smear_is_one_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ramp = np.clip(np.add.outer(np.arange(40), np.arange(40)) * 4 - 60, 0, 255)
    for name in "abc":
        label = (ramp + rng.integers(0, 2)).clip(0, 255).astype(np.uint8)[None]
        write_case(tmp_path, name, np.zeros((1, 40, 40), np.int16), label)
    (warning,) = (fault for fault in inspect(tmp_path).warnings if fault.rule == "smeared")
    assert "(and 2 more cases)" in warning.found
