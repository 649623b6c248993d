"""A study of a data set with ignored voxels, lists of splits, and names of any kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from normsearch import load_study
from normsearch.data import Volume, read_volume, write_volume

from .conftest import Outcome

Call = Callable[..., Outcome]
NAMES = ("NA", "null", "c2", "c3", "left out")


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Return nnU-Net's folder of squares, each beside a stripe that nobody annotated."""
    root = tmp_path / "data" / "stripes"
    for index, name in enumerate(NAMES):
        random = np.random.default_rng(index)
        label = np.zeros((4, 16, 16), np.uint8)
        label[:, 4:12, 4:12] = 1
        image = (100 * label + random.normal(0, 5, label.shape)).astype(np.int16)
        image[:, :, 13:] = 100  # as bright as the squares
        label[:, :, 13:] = 2
        write_volume(root / "imagesTr" / f"{name}_0000.nrrd", Volume(image, (2.0, 1.0, 1.0)))
        write_volume(root / "labelsTr" / f"{name}.nrrd", Volume(label, (2.0, 1.0, 1.0)))
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "square": 1, "ignore": 2},
        "numTraining": len(NAMES),
        "file_ending": ".nrrd",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    splits = [{"train": ["c2", "c3"], "val": ["NA", "null"]}]
    (root / "splits_final.json").write_text(json.dumps(splits))
    return root


@pytest.fixture
def study(described: Path, study_file: Path) -> Path:
    raw = yaml.safe_load(study_file.read_text())
    raw["task"] = {"data": str(described), "validation_folds": [0]}
    raw["training"] = {"samples": 200, "evaluations": 2}
    raw["search"] = {"trials": 1, "pruner": "none", "sampler": "random"}
    study_file.write_text(yaml.safe_dump(raw))
    return study_file


def test_ignored_voxels_are_neither_learnt_nor_scored(
    normsearch: Call, study: Path, described: Path
) -> None:
    done = normsearch("run", study, "--local")
    assert done.code == 0
    assert "left out in neither list of split 0" in done.err
    table = load_study("tiny").cases()
    assert sorted(table["case"]) == ["NA", "null"]  # names, and no missing values
    counts = table[["tp_1", "fp_1", "fn_1"]].sum(axis=1)
    assert (table["tp_1"] + table["fn_1"] == 4 * 8 * 8).all()
    assert (counts <= 4 * 16 * 13).all()
    assert normsearch("export", "tiny", "-o", "model").code == 0
    image = described / "imagesTr" / "c2_0000.nrrd"
    assert normsearch("predict", "model", image, "-o", "out").code == 0
    (mask,) = Path("out").iterdir()
    assert set(np.unique(read_volume(mask).array)) <= {0, 1}


def test_the_terminal_tells_what_is_not_used(normsearch: Call, described: Path) -> None:
    (described / "imagesTs").mkdir()
    done = normsearch("validate", described)
    assert done.code == 0
    ignored, voxels = 5 * 4 * 16 * 3, 5 * 4 * 16 * 16
    for line in (
        "class 1 (square): in 5 cases, 1280 voxels, 25% of all",
        "foreground   25% of all voxels; a prediction of foreground everywhere has a Dice of 0.4",
        f"ignored      value 2: in 5 cases, {ignored} voxels, {100 * ignored / voxels:.3g}% of all",
        "not used: overwrite_image_reader_writer of dataset.json",
        "not used: imagesTs/",
    ):
        assert line in done.out
    raw = json.loads(normsearch("validate", described, "--json").out)
    assert raw["ignored"]["voxels"] == ignored
    assert raw["unused"] == ["overwrite_image_reader_writer of dataset.json", "imagesTs/"]
    assert [fault["rule"] for fault in raw["warnings"]] == ["split"]


@pytest.mark.parametrize("name", ["C3", "c2.nrrd"])
def test_an_unknown_name_in_a_split_stops_a_study(
    name: str, normsearch: Call, study: Path, described: Path
) -> None:
    splits = [{"train": ["c2", "c3"], "val": ["NA", name]}]
    (described / "splits_final.json").write_text(json.dumps(splits))
    done = normsearch("run", study, "--local")
    assert done.code == 1
    assert f"'{name}' (val of split 0), did you mean '{name[:2].lower()}'" in done.err
    assert not Path("runs").exists()
