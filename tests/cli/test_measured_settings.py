"""Target spacing and CT intensities through a study: run, resume, confirm, export, predict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from threadpoolctl import threadpool_limits

from normsearch.config.reading import read_recorded_study, read_study, read_trial
from normsearch.data import Volume, fingerprint, read_volume, write_volume
from normsearch.study import Study
from normsearch.trials.measured_task import measure_task
from normsearch.trials.model import load_model
from normsearch.trials.task import load_task
from tests.cli.conftest import Outcome

Call = Callable[..., Outcome]

SPACINGS = [(2.0, 1.0, 1.0), (2.0, 0.8, 1.2), (2.0, 0.9, 1.1), (2.0, 4.0, 4.0)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the folder of ``scans``: four subjects, of which the last, the test fold, is odd."""
    root = tmp_path / "data" / "scans"
    rows = ["id,fold"]
    for number, spacing in enumerate(SPACINGS):
        random = np.random.default_rng(number)
        label = np.zeros((4, 16, 16), np.uint8)
        label[:, 4:12, 4 + number : 12] = 1
        image = 100.0 * label * (50 if number == 3 else 1) + random.normal(0, 5, label.shape)
        for kind, array in (("images", image.astype(np.float32)), ("labels", label)):
            write_volume(root / kind / f"s{number}.nrrd", Volume(array, spacing))
        rows.append(f"s{number},{number}")
    (root / "folds.csv").write_text("\n".join(rows) + "\n")
    return root.parent


@pytest.fixture
def study(tmp_path: Path) -> Path:
    raw = {
        "name": "scan",
        "task": {
            "data": "scans", "spacing": "median", "intensity": "ct", "size": [16, 16],
            "fit": "pad", "test_folds": [3], "validation_folds": [2],
        },
        "network": {"first_channels": 4, "depth": 1},
        "training": {"samples": 24, "evaluations": 2},
        "space": {
            "norm": {"choices": ["BN", "IN"], "per": "network"},
            "learning_rate": 0.1, "batch_size": 2,
        },
        "search": {"trials": 2, "pruner": "none"},
    }  # fmt: skip
    path = tmp_path / "scan.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def numbers(task: Any) -> tuple[Any, Any]:
    return task.spacing, task.foreground_intensities


def test_the_numbers_of_the_start_are_those_of_everything(
    study: Path, data: Path, normsearch: Call, tmp_path: Path
) -> None:
    done = normsearch("validate", study, "--data", data)
    assert done.code == 0, done.err
    told = [line.partition(": ")[2] for line in done.out.splitlines()[1:]]
    assert told[0] == "3 of 4 cases resampled to 0.9 x 1.1 mm within slices"
    assert told[1].startswith("intensities clipped to 8")
    as_json = normsearch("validate", study, "--data", data, "--json").out
    assert json.loads(as_json)["notes"] == told

    began = normsearch("run", study, "--data", data, "--local")
    assert began.code == 0, began.err
    said = [line.partition(": ")[2] for line in began.err.splitlines()]
    assert told == [line for line in said if line in told]
    recorded = read_recorded_study(Path("runs/scan")).task
    assert recorded.spacing == (0.9, 1.1)
    (row,) = recorded.foreground_intensities or ()
    assert row.mean == pytest.approx(100, abs=1)  # the test subject has 5000
    assert numbers(read_trial(Path("runs/scan/trials/0000/trial.json")).task) == numbers(recorded)

    more = normsearch("resume", "scan", "--trials", 2, "--local")
    assert more.code == 0, more.err
    again = Study.load(study, data=data).run(executor="local", resume=True)
    assert numbers(again.config.task) == numbers(recorded)

    confirmed = normsearch("confirm", "scan", "--top", 1, "--seeds", 1, "--local")
    assert confirmed.code == 0, confirmed.err
    task = read_recorded_study(Path("runs/scan-confirm")).task
    assert task.validation == "test"
    assert numbers(task) == numbers(recorded)

    assert normsearch("export", "scan", "-o", "model").code == 0
    model = load_model("model")
    assert numbers(model.config.trial.task) == numbers(recorded)
    assert "resampled to 0.9 x 1.1 mm, then pad to 16 x 16" in Path("model/model.py").read_text()
    far = data / "scans" / "images" / "s3.nrrd"  # of another spacing than any in training
    made = normsearch("predict", "model", far, "-o", "masks")
    assert made.code == 0, made.err
    assert read_volume(Path("masks/s3_mask.nrrd")).array.shape == (4, 16, 16)
    write_volume(tmp_path / "plain.nrrd", Volume(read_volume(far).array, (float("nan"),) * 3))
    unknown = normsearch("predict", "model", tmp_path / "plain.nrrd", "-o", "masks")
    assert unknown.code == 1
    assert "must give its spacing, as the model resamples images to 0.9 x 1.1 mm" in unknown.err


def test_a_trial_is_trained_again_from_its_file_alone(
    study: Path, data: Path, normsearch: Call
) -> None:
    assert normsearch("run", study, "--data", data, "--local").code == 0
    folder = Path("runs/scan/trials/0000")
    first = (folder / "cases.csv").read_text()
    again = normsearch("train", folder / "trial.json", "--data", data, "-o", "again")
    assert again.code == 0, again.err
    assert Path("again/cases.csv").read_text() == first


def test_folds_in_turn_are_measured_on_none_of_their_cases(
    study: Path, data: Path, normsearch: Call
) -> None:
    raw = yaml.safe_load(study.read_text())
    raw["task"] |= {"validation": "test", "test_folds": [], "validation_folds": None}
    raw["task"] = {key: value for key, value in raw["task"].items() if value is not None}
    arm = {"norm": "BN", "learning_rate": 0.1, "batch_size": 2}
    raw["space"] = {"arms": [{"name": "BN", **arm}], "seeds": 1, "folds": ["2", "3"]}
    raw["search"] = {}
    study.write_text(yaml.safe_dump(raw))
    done = normsearch("run", study, "--data", data, "--local")
    assert done.code == 0, done.err
    assert read_recorded_study(Path("runs/scan")).task.spacing == (0.9, 1.1)
    raw["space"]["folds"], raw["name"] = ["0", "1", "2", "3"], "all"
    study.write_text(yaml.safe_dump(raw))
    done = normsearch("run", study, "--data", data, "--local")
    assert done.code == 1
    assert "scans: must have cases outside of the test folds 0, 1, 2, 3 to measure" in done.err
    assert not Path("runs/all").exists()


def test_cases_are_prepared_alike_whatever_the_number_of_threads(
    study: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, found = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            cache = tmp_path / f"cache {threads}"
            monkeypatch.setenv("NORMSEARCH_CACHE", str(cache))
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                task = measure_task(read_study(str(study))[0].task, data)
                found.add((fingerprint(load_task(task, data)), task.model_dump_json()))
            assert list(cache.iterdir())  # prepared anew
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1
