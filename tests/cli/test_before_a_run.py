"""The checks of `run` and `resume` before anything is created, and the end of failed runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from normsearch.cli.terminal import Terminal, visible
from normsearch.config.reading import read_recorded_study
from normsearch.data import Volume, write_volume
from normsearch.search.checks import discard_unbegun
from normsearch.storage.records import StudyRecord

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def run(normsearch: Call, study_file: Path, data_set: Path) -> Call:
    """Return `normsearch run` of a study of two trials, in this process."""
    study = yaml.safe_load(study_file.read_text())
    study["search"] = {"trials": 2, "pruner": "none"}
    study["space"] = {
        "norm": {"per": "network", "choices": ["BN", "IN"]},
        "learning_rate": 0.1,
        "batch_size": 2,
    }
    study_file.write_text(yaml.safe_dump(study))
    return lambda *options: normsearch("run", study_file, "--data", data_set, "--local", *options)


def test_a_name_that_the_storage_holds_is_refused(run: Call, tmp_path: Path) -> None:
    """Two people, one database, one name: the second must not get the first one's trials."""
    url = f"sqlite:///{tmp_path}/o.db"
    assert run("--storage", url).code == 0
    found = run("--storage", url, "--runs-dir", "theirs", "--set", "training.samples=48")
    assert found.code == 1
    assert "must hold no study called tiny" in found.err
    assert not Path("theirs").exists()


def test_a_run_with_another_runs_storage_is_not_resumed(
    run: Call, normsearch: Call, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/o.db"
    assert run("--storage", url).code == 0
    assert run("--runs-dir", "theirs", "--set", "space.learning_rate=0.01").code == 0
    found = normsearch("resume", "tiny", "--runs-dir", "theirs", "--storage", url, "--local")
    assert found.code == 1
    assert "is of another run" in found.err
    assert normsearch("resume", "tiny", "--trials", 2, "--local").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--set", "search.checkpoints=x"), "search.checkpoints"),
        (("--storage", "sqlite:////no/such/folder/a.db"), "--storage"),
        (("--set", "search.callbacks=[wandb]"), "search.callbacks"),
    ],
)
def test_nothing_is_made_before_every_check_passed(
    options: tuple[str, ...], told: str, run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normsearch.storage.opening._OPEN_AGAIN_S", ())
    monkeypatch.setattr("normsearch.storage.opening._RETRY_S", ())
    found = run(*options)
    assert found.code == 1
    assert told in found.err
    assert not Path("runs/tiny").exists()
    assert run().code == 0


def test_a_cluster_that_does_not_answer_leaves_no_run(
    normsearch: Call, study_file: Path, data_set: Path
) -> None:
    command = ("run", study_file, "--data", data_set, "--storage", "sqlite:///o.db")
    found = normsearch(*command, "--address", "127.0.0.1:1")
    assert found.code == 1
    assert "--address 127.0.0.1:1" in found.err
    assert not Path("runs/tiny").exists()
    corrected = normsearch(*command, "--local", "--set", "search.trials=1")
    assert corrected.code == 0, corrected.err


def test_a_study_of_another_run_is_never_discarded(run: Call) -> None:
    """Two runs of one name may begin at the same moment; the second one's end spares the first."""
    url = "sqlite:///o.db"
    assert run("--storage", url).code == 0
    config = read_recorded_study(Path("runs/tiny"))
    other = config.model_copy(update={"fingerprint": "0" * 64})
    Path("theirs").mkdir()
    discard_unbegun(other, Path("theirs"), url)
    assert not Path("theirs").exists()
    assert len(StudyRecord(Path("runs/tiny"), url).trials()) == 2


FAILING = """
from torch import nn

class Net(nn.Module):
    trained = 0

    def __init__(self, in_channels=1, out_channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, x):
        Net.trained += self.training
        if self.training and Net.trained > 8:
            raise IndexError("the [/tmp/x] went \\x1b[2J wrong")
        return self.norm(self.conv(x))
"""


def test_a_run_that_completed_nothing_exits_with_1_and_says_why(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    found = run("--set", "network={name: 'failing:Net'}")
    assert found.code == 1
    assert "none was: 2 of 2 failed, trial 0 of 'IndexError: the [/tmp/x] went" in found.err
    assert "\x1b" not in found.err
    trace = Path("runs/tiny/trials/0000/error.txt")
    assert str(trace) in found.err
    assert 'raise IndexError("the [/tmp/x]' in trace.read_text()


def test_validation_without_foreground_is_refused_before_the_first_trial(
    run: Call, data_set: Path
) -> None:
    empty = Volume(np.zeros((4, 16, 16), np.uint8), (2.0, 1.0, 1.0))
    write_volume(data_set / "squares" / "labels" / "s2.nrrd", empty)
    found = run()
    assert found.code == 1
    assert "a validation case must contain foreground" in found.err
    assert "got none in s2" in found.err
    assert not Path("runs").exists()


def test_classes_that_no_validation_case_shows_are_told(run: Call, data_set: Path) -> None:
    label = np.ones((4, 16, 16), np.uint8)
    label[:, :4] = 2
    write_volume(data_set / "squares" / "labels" / "s0.nrrd", Volume(label, (2.0, 1.0, 1.0)))
    found = run("--set", "task.classes=[1, 2]")
    assert found.code == 0
    assert "no validation case contains the label values 2" in found.err


def test_a_terminal_shows_texts_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[/tmp/x] [enforce fail] [bold]b[/bold] :smile: \x1b[2J\x07 \u202eabc"
    shown = "[/tmp/x] [enforce fail] [bold]b[/bold] :smile: \\x1b[2J\\x07 \\u202eabc"
    assert visible(hostile) == shown
    Terminal(width=200).print(hostile)
    assert capsys.readouterr().out == f"{shown}\n"


def test_a_name_with_a_comma_is_one_file(
    run: Call, normsearch: Call, data_set: Path, tmp_path: Path
) -> None:
    assert run().code == 0
    assert normsearch("export", "tiny", "-o", "model").code == 0
    image = tmp_path / "Doe, Jane.nrrd"
    shutil.copy(data_set / "squares" / "images" / "s0.nrrd", image)
    found = normsearch("predict", "model", image, "-o", "masks")
    assert found.code == 0, found.err
    assert Path("masks/Doe, Jane_mask.nrrd").is_file()


def test_the_data_of_a_trainer_are_not_counted(normsearch: Call) -> None:
    text = (
        'name: own\ntrainer: "tests.trials.test_own_training:train"\n'
        "space: {norm: {choices: [BN, IN]}, learning_rate: 0.1, batch_size: 2}\n"
        "search: {trials: 2}\n"
    )
    Path("own.yaml").write_text(text)
    found = normsearch("validate", "own.yaml")
    assert found.code == 0, found.err
    assert "own.yaml: valid; data by the trainer, tests.trials.test_own_training:train with " in (
        found.out
    )
