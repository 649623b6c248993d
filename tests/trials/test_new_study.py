"""`init_study` reads a data set, times a few steps, and writes a study that is valid."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import normsearch
from normsearch.config.reading import read_study
from normsearch.config.yaml_file import parse_yaml
from normsearch.data import Volume, write_volume
from normsearch.errors import ConfigError, DataError, StudyError
from normsearch.trials import new_study, trial_time
from normsearch.trials.new_study import init_study, study_text
from normsearch.trials.proposal import Line
from normsearch.trials.trial_time import TrialTime

Write = Callable[[Path], object]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Time two steps, and keep prepared cases in a folder of the test."""
    monkeypatch.setattr(trial_time, "_STEPS", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pairs(
    shape: tuple[int, ...], cases: int, low: int = 0, classes: int = 1
) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Return images and labels with a bright box of each class."""
    found = []
    for number in range(cases):
        random = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        for value in range(1, classes + 1):
            label[..., 2 * value : 2 * value + 2, 2:8] = value
        image = low + 2000.0 * label + random.normal(500, 10, shape)
        found.append((image.astype(np.int16), label))
    return found


def write_nifti(path: Path, array: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([1.0, 1.0, 1.0, 1.0])), path)  # type: ignore[no-untyped-call]


def folders(root: Path) -> None:
    """Three single slices."""
    for number, (image, label) in enumerate(pairs((1, 16, 16), 3)):
        for kind, array in (("images", image), ("labels", label)):
            write_volume(root / kind / f"s{number}.nrrd", Volume(array, (2.0, 1.0, 1.0)))


def msd(root: Path) -> None:
    """Three volumes with two classes."""
    listed = []
    for number, (image, label) in enumerate(pairs((10, 12, 10), 3, classes=2)):
        write_nifti(root / "imagesTr" / f"h{number}.nii.gz", image)
        write_nifti(root / "labelsTr" / f"h{number}.nii.gz", label)
        listed.append(
            {"image": f"./imagesTr/h{number}.nii.gz", "label": f"./labelsTr/h{number}.nii.gz"}
        )
    facts = {"labels": {"0": "background", "1": "a", "2": "b"}, "training": listed}
    (root / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}, **facts}))


def nnunet(root: Path) -> None:
    """Three CT volumes."""
    for number, (image, label) in enumerate(pairs((10, 12, 10), 3, low=-1500)):
        write_nifti(root / "imagesTr" / f"c{number}_0000.nii.gz", image)
        write_nifti(root / "labelsTr" / f"c{number}.nii.gz", label)
    facts = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "box": 1}}
    (root / "dataset.json").write_text(
        json.dumps({**facts, "numTraining": 3, "file_ending": ".nii.gz"})
    )


def manifest(root: Path) -> None:
    """Three single slices that a table lists with their folds."""
    folders(root)
    rows = [f"s{n},images/s{n}.nrrd,labels/s{n}.nrrd,{n}" for n in range(3)]
    (root / "manifest.csv").write_text("\n".join(["id,image,label,fold", *rows]) + "\n")


def idx(root: Path) -> None:
    """Eight images with a class each, and four to test on."""
    for prefix, number in (("train", 8), ("t10k", 4)):
        images = np.random.default_rng(0).integers(0, 256, (number, 12, 12)).astype(np.uint8)
        classes = (np.arange(number) % 2).astype(np.uint8)
        for name, array, kind in (("images-idx3", images, 3), ("labels-idx1", classes, 1)):
            sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
            raw = bytes([0, 0, 8, kind]) + sides + array.tobytes()
            (root / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(raw))


@pytest.fixture
def hearts(tmp_path: Path) -> Path:
    """Return a folder with the data set ``hearts``."""
    folders(tmp_path / "hearts")
    return tmp_path


@pytest.mark.parametrize(
    ("write", "network", "task"),
    [
        (folders, "unet2d", {"size": (16, 16), "intensity": "zscore"}),
        (manifest, "unet2d", {"size": (16, 16), "test_folds": ("2",), "folds": None}),
        (msd, "monai.networks.nets:UNet", {"size": (10, 12, 10), "classes": (1, 2)}),
        (nnunet, "monai.networks.nets:UNet", {"size": (10, 12, 10), "intensity": "ct"}),
        (idx, "classifier", {"size": None, "test_folds": ("test",), "intensity": "percentile"}),
    ],
)
def test_every_layout_gives_a_study_that_is_valid(
    write: Write, network: str, task: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    write(root)
    found = init_study("set", data=tmp_path, output=tmp_path / "new.yaml")
    config, _ = read_study(str(found.path))
    assert config == found.config
    assert (config.name, config.task.data, config.network.name) == ("set", "set", network)
    for key, value in task.items():
        assert getattr(config.task, key) == value
    assert found.minutes > 0
    prepared = normsearch.Study.load(found.path, data=tmp_path).prepare()
    assert prepared.space.slots


def test_each_setting_has_its_reason_and_the_time_is_told(hearts: Path) -> None:
    found = init_study(hearts / "hearts", output=hearts / "new.yaml")
    text = found.path.read_text()
    assert found.config.task.data == str(hearts / "hearts")
    for line in found.lines:
        assert " ".join(line.reason.split()) in text
    head = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    assert " ".join(head).endswith(f"A{found.cost[1:]}.")
    assert "minutes a trial" in found.cost
    assert "24 trials" in found.cost


def test_minutes_decide_the_samples(hearts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0.1 s a sample, 4 s an evaluation and 5 s the last one, 2 minutes hold 990 samples."""
    taken = TrialTime(0.1, 4.0, 5.0, "BN", 2)
    assert taken.samples(120, 5) == 990
    assert taken.seconds(990, 5) == pytest.approx(120)
    monkeypatch.setattr(new_study, "time_trial", lambda config, split: taken)
    found = init_study(hearts / "hearts", output=hearts / "new.yaml", minutes=2)
    assert found.config.training.samples == 990
    assert found.minutes == pytest.approx(2)
    with pytest.raises(StudyError, match=r"--minutes: must be at least 0\.42 .*, got 0\.3;"):
        init_study(hearts / "hearts", output=hearts / "other.yaml", minutes=0.3)
    assert not (hearts / "other.yaml").exists()


def test_a_file_is_overwritten_only_by_force(hearts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    Path("hearts.yaml").write_text("mine")
    with pytest.raises(StudyError, match=r"hearts\.yaml: must not exist.*--force"):
        init_study("hearts")
    assert Path("hearts.yaml").read_text() == "mine"
    assert init_study("hearts", force=True).path == Path("hearts.yaml")
    assert Path("hearts.yaml").read_text().startswith("# Proposed by normsearch init")


def test_wrong_arguments_write_nothing(hearts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hearts)
    with pytest.raises(DataError, match="herts: must be a data set"):
        init_study("herts")
    with pytest.raises(ConfigError, match=r"name: .*got 'a/b'"):
        init_study("hearts", name="a/b")
    with pytest.raises(StudyError, match="--minutes: must be above 0, got -1"):
        init_study("hearts", minutes=-1)
    assert not list(hearts.glob("*.yaml"))


def test_faults_are_told_as_by_validate(hearts: Path) -> None:
    (hearts / "hearts" / "labels" / "s1.nrrd").unlink()
    with pytest.raises(DataError, match="s1"):
        init_study(hearts / "hearts", output=hearts / "new.yaml")
    assert not (hearts / "new.yaml").exists()


def test_a_reason_that_is_too_long_stands_above() -> None:
    reason = "why " * 30
    lines = [
        Line("name", "007", ""),
        Line("task.data", "a: b", "short"),
        Line("task.size", [1, 2], reason),
        Line("space.norm.choices", ["none", "ILN(regroup=none)", "yes"], ""),
        Line("space.batch_size", {"choices": [2], "log": True}, ""),
    ]
    text = study_text(lines, ["two words."])
    assert text.splitlines()[0] == "# Two words."
    assert f"  # {reason.strip()}\n  size: [1, 2]\n" in text
    assert '  data: "a: b"   # short\n' in text
    assert parse_yaml(text) == {
        "name": "007",
        "task": {"data": "a: b", "size": [1, 2]},
        "space": {
            "norm": {"choices": ["none", "ILN(regroup=none)", "yes"]},
            "batch_size": {"choices": [2], "log": True},
        },
    }


@pytest.mark.data
def test_the_shipped_study_of_the_hippocampus_is_what_is_proposed(
    data_root: Path, tmp_path: Path
) -> None:
    found = init_study("Task04_Hippocampus", data=data_root, name="hippocampus",
                       output=tmp_path / "new.yaml")  # fmt: skip
    assert found.config == read_study("hippocampus")[0]
