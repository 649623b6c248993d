from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from normsearch.data import Volume, read_volume, write_volume
from tests.cli.conftest import Outcome

Call = Callable[..., Outcome]


def spoil(data_set: Path) -> None:
    """Give s0 a NaN, s1 a label on another grid, s2 a shifted origin, and take s3's label."""
    root = data_set / "squares"
    image = read_volume(root / "images/s0.nrrd")
    array = image.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(root / "images/s0.nrrd", Volume(array, image.spacing))
    label = read_volume(root / "labels/s1.nrrd")
    write_volume(root / "labels/s1.nrrd", Volume(label.array[:, :8], label.spacing))
    axes = np.diag((2.0, 1.0, 1.0))[:, ::-1]
    for part, origin in (("images", (0, 0, 0)), ("labels", (0, 0, 9))):
        volume = read_volume(root / part / "s2.nrrd")
        write_volume(root / part / "s2.nrrd", Volume(volume.array, volume.spacing, origin, axes))
    (root / "labels/s3.nrrd").unlink()


def test_a_sound_data_set(data_set: Path, normsearch: Call) -> None:
    done = normsearch("validate", "squares", "--data", data_set)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{data_set / 'squares'}: 4 cases of 4 subjects, layout folders, segmentation; 0 errors, "
        "0 warnings",
        "folds        0: 1, 1: 1, 2: 1, 3: 1",
        "channels     1",
        "shapes       all 4 x 16 x 16 voxels (slices, rows, columns)",
        "spacings     all 2 x 1 x 1 mm (slices, rows, columns)",
        done.out.splitlines()[5],
        "class 1: in 4 cases, 832 voxels, 20.3% of all, 0.416 ml a case on average",
        "foreground   20.3% of all voxels; a prediction of foreground everywhere has a Dice of "
        "0.336",
    ]
    assert normsearch("validate", data_set / "squares").out == done.out


def test_every_fault_is_told_with_its_case_and_file(data_set: Path, normsearch: Call) -> None:
    spoil(data_set)
    done = normsearch("validate", data_set / "squares")
    assert done.code == 1
    root = data_set / "squares"
    for line in (
        f"error: case s0: {root}/images/s0.nrrd: must have finite voxels alone, got 1 voxels",
        f"error: case s1: {root}/labels/s1.nrrd: must have the shape of s1.nrrd, [4, 16, 16],",
        f"warning: case s2: {root}/labels/s2.nrrd: must have the origin of s2.nrrd, [0.0, 0.0",
        f"error: case s3: {root}/images/s3.nrrd: must have a file of its name in labels/, got",
    ):
        assert line in done.out
    assert "3 cases of 3 subjects, layout folders, segmentation; 3 errors, 1 warning" in done.out


def test_json_holds_summary_and_faults(data_set: Path, normsearch: Call) -> None:
    spoil(data_set)
    done = normsearch("validate", data_set / "squares", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert (found["cases"], found["readable"]) == (3, 1)
    assert [fault["case"] for fault in found["warnings"]] == ["s2"]


def test_what_is_no_data_set(tmp_path: Path, normsearch: Call) -> None:
    done = normsearch("validate", tmp_path / "nothing")
    assert done.code == 1
    assert "nothing: must follow one of the layouts (manifest: " in done.err
    done = normsearch("validate", tmp_path, "--layout", "mds")
    assert "got 'mds'. Did you mean 'msd'?" in done.err


def test_warnings_alone_are_no_failure_and_of_a_kind_the_first_are_shown(
    data_set: Path, normsearch: Call
) -> None:
    axes = np.diag((2.0, 1.0, 1.0))[:, ::-1]
    for path in (data_set / "squares").rglob("*.nrrd"):
        volume = read_volume(path)
        origin = (0.0, 0.0, 5.0 * (path.parent.name == "labels"))
        write_volume(path, Volume(volume.array, volume.spacing, origin, axes))
    done = normsearch("validate", data_set / "squares")
    assert done.code == 0
    told = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    assert [line.split(": ")[1] for line in told[:3]] == ["case s0", "case s1", "case s2"]
    assert told[3:] == ["warning: 1 more of this kind (origin); --json lists all"]
    assert (
        len(json.loads(normsearch("validate", data_set / "squares", "--json").out)["warnings"]) == 4
    )


def test_a_study_names_all_faults_and_begins_nothing(
    data_set: Path, study_file: Path, normsearch: Call, tmp_path: Path
) -> None:
    spoil(data_set)
    done = normsearch(
        "run", study_file, "--data", data_set, "--local", "--runs-dir", tmp_path / "runs"
    )
    assert done.code == 1
    for name in ("images/s0.nrrd", "labels/s1.nrrd", "images/s3.nrrd"):
        assert f"{data_set / 'squares' / name}: must" in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.data
@pytest.mark.parametrize(
    "changes",
    [
        {"data": "sunnybrook", "validation_folds": [2]},
        {"data": "Task04_Hippocampus", "classes": [1, 2]},
        {"data": "Task04_Hippocampus", "fit": "pad"},
    ],
)
def test_real_data_by_two_changed_lines(
    changes: dict[str, object], data_root: Path, study_file: Path, normsearch: Call
) -> None:
    study = yaml.safe_load(study_file.read_text())
    study["task"] = {"data": "phantom", "size": [16, 16], **changes}
    study["training"] = {"samples": 2, "evaluations": 1}
    study["search"]["trials"] = 4  # the single-norm baselines
    study_file.write_text(yaml.safe_dump(study))
    done = normsearch("run", study_file, "--data", data_root, "--local", "--json")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["score"] <= 1


def test_a_shipped_study_by_its_name(normsearch: Call) -> None:
    done = normsearch("validate", "quickstart")
    assert done.out.startswith("quickstart: valid; 6 training cases, 2 validation cases, unet2d ")
