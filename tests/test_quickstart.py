"""A small U-Net learns the embedded task in the quickstart's budget.

That no threshold solves it is tested beside the phantom.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from normsearch.config import TrialConfig
from normsearch.config.reading import read_study
from normsearch.networks import list_norms
from normsearch.trials.task import load_task, split_task
from normsearch.trials.training import train_trial
from normsearch.trials.trial_network import build_trial_network


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "cache"))


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
    assert record["score"] > 0.85
