"""The embedded task is worth searching on: a small U-Net passes where no threshold does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from normsearch.config import TrialConfig
from normsearch.config_file import read_study
from normsearch.data import find_cases, read_volume
from normsearch.networks import list_norms
from normsearch.trial import build_trial_network, data_folder, load_task, split_task, train_trial


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
def test_best_threshold_stays_under_060() -> None:
    task = read_study("quickstart")[0].task
    cases = find_cases(data_folder(task, None))
    images = np.stack([read_volume(case.image).array for case in cases])
    truth = np.stack([read_volume(case.label).array > 0 for case in cases])
    per_case = (1, 2, 3)
    best = 0.0
    for threshold in range(-1000, 2000, 10):
        called = images > threshold
        overlap = (called & truth).sum(per_case)
        best = max(best, float((2 * overlap / (called.sum(per_case) + truth.sum(per_case))).mean()))
    assert 0.2 < best < 0.6


@pytest.mark.usefixtures("cache")
def test_a_small_unet_passes_085(tmp_path: Path) -> None:
    study = read_study("quickstart")[0]
    network = build_trial_network(study.network, in_channels=1)
    trial = TrialConfig(
        study="quickstart",
        number=0,
        task=study.task,
        network=study.network,
        training=study.training.model_copy(update={"evaluations": 1}),
        norm_map={slot.name: "IN" for slot in list_norms(network)},
        learning_rate=study.space.learning_rate.middle,
        batch_size=study.space.batch_size.middle,
    )
    data = split_task(study.task, load_task(study.task, None))
    (record,) = train_trial(trial, data, tmp_path)
    assert record["dice"] > 0.85
