"""A study on patches from its start to its confirmation, with folds made for the data set."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import normsearch
from normsearch.data import find_cases, read_volume, write_volume
from normsearch.data.volume import Volume
from normsearch.search.jobs import Event

SEARCH = {"trials": 2, "sampler": "grid", "baselines": False, "pruner": {"name": "none"}}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORMSEARCH_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def unfolded(tmp_path: Path) -> Path:
    """Return a data set of 6 subjects without folds; images larger and smaller than a patch."""
    root = tmp_path / "blocks"
    for index in range(6):
        random = np.random.default_rng(index)
        label = np.zeros((3, 14 + index, 26), np.uint8)
        label[:, 3:9, 4 + index : 12] = 1
        image = (100 * label + random.normal(0, 5, label.shape)).astype(np.int16)
        for kind, array in (("images", image), ("labels", label)):
            write_volume(root / kind / f"s{index}.nrrd", Volume(array, (2.0, 1.0, 1.0)))
    return root


def study(data: Path, name: str = "patches", **resources: Any) -> normsearch.Study:
    return normsearch.Study(
        name,
        task={"data": str(data), "sample": "patch", "size": [16, 16], "folds": 3,
              "test_folds": [1], "validation_folds": [2], "validation_cases": 1},
        network={"name": "unet2d", "first_channels": 2, "depth": 1},
        training={"samples": 12, "evaluations": 3, "statistics_samples": 4},
        space={"norm": {"per": "network", "choices": ["BN", "IN"]}, "learning_rate": 0.1,
               "batch_size": 2},
        search={**SEARCH, "resources": resources},
    )  # fmt: skip


def test_a_study_of_patches_and_its_confirmation_on_each_fold(runs: Path, unfolded: Path) -> None:
    events: list[Event] = []
    found = study(unfolded, loader_workers=2).run(executor="local", callbacks=[events.append])
    notes = events[0].record["notes"]
    assert "task.folds made 3 folds of 2, 2, 2 subjects" in notes[0]
    assert "validation slides over 1 case" in notes[1]
    history = found.record.history()
    assert history.groupby("evaluation")["cases"].unique().map(list).to_dict() == {
        1: [1], 2: [1], 3: [2]
    }  # fmt: skip
    scores = found.trials().set_index("number")["score"]
    for number, own in found.record.cases().groupby("number"):
        assert own["score"].mean() == pytest.approx(scores[number], abs=1e-12)
        assert len(own) == 2

    table = list(csv.DictReader((runs / "patches" / "folds.csv").read_text().splitlines()))
    assert {row["fold"] for row in table} == {"1", "2", "3"}
    confirmed = found.confirm(top=0, seeds=1, folds="all", executor="local")
    tested = confirmed.record.cases()
    assert tested.groupby("fold")["case"].unique().map(set).to_dict() == {
        fold: {row["id"] for row in table if row["fold"] == fold} for fold in "123"
    }

    # The data set may be given the folds of a run, and the run still opens.
    (unfolded / "folds.csv").write_text((runs / "patches" / "folds.csv").read_text())
    assert {case.id: case.fold for case in find_cases(unfolded)} == {
        row["id"]: row["fold"] for row in table
    }
    assert normsearch.open_study("patches").prepare().config.task.folds == 3


def test_workers_change_no_score_of_a_study(runs: Path, unfolded: Path) -> None:
    found = [
        study(unfolded, f"w{workers}", loader_workers=workers).run(executor="local").record
        for workers in (0, 1, 3)
    ]
    for other in found[1:]:
        columns = ["number", "evaluation", "loss", "score"]
        assert other.history()[columns].equals(found[0].history()[columns])
        assert other.cases().equals(found[0].cases())


def test_a_chosen_size_is_recorded_and_kept_on_resume(runs: Path, unfolded: Path) -> None:
    auto = study(unfolded)
    task = {**auto.config.task.model_dump(), "size": "auto"}
    auto.config = auto.config.model_copy(
        update={"task": type(auto.config.task).model_validate(task)}
    )
    auto.run(executor="local")
    recorded = yaml.safe_load((runs / "patches" / "study.yaml").read_text())
    assert recorded["task"]["size"] == [16, 26]
    again = study(unfolded)
    again.config = again.config.model_copy(
        update={"task": type(auto.config.task).model_validate(task)}
    )
    again.run(resume=True, executor="local")
    assert again.config.task.size == (16, 26)


@pytest.mark.usefixtures("no_program")
def test_predicted_masks_have_the_reported_dice(runs: Path, unfolded: Path, tmp_path: Path) -> None:
    import SimpleITK

    from normsearch.trials.prediction import predict_files

    found = study(unfolded).run(executor="local")
    number = found.export(tmp_path / "model")[0]
    model = normsearch.load_model(tmp_path / "model")
    cases = found.record.cases()
    own = cases[cases["number"] == number].set_index("case")["score"]
    for case, score in own.items():
        path = unfolded / "images" / f"{case}.nrrd"
        made = predict_files(
            model.network, (path,), model.config.trial.task, model.sample_shape,
            geometry=model.config.trial.geometry,
        )  # fmt: skip
        assert made.mask is not None
        write_volume(tmp_path / "mask.nrrd", made.mask)
        measure = SimpleITK.LabelOverlapMeasuresImageFilter()
        measure.Execute(
            SimpleITK.ReadImage(str(unfolded / "labels" / f"{case}.nrrd"), SimpleITK.sitkUInt8),
            SimpleITK.ReadImage(str(tmp_path / "mask.nrrd"), SimpleITK.sitkUInt8),
        )
        assert score == pytest.approx(measure.GetDiceCoefficient(), abs=1e-6)
        assert made.mask.array.shape == read_volume(path).array.shape
