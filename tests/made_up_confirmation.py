"""Studies whose trainings are made up: runs on disk with scores that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from normsearch.config import StudyConfig, TrialConfig
from normsearch.config.reading import validate
from normsearch.confirmation.execution import scheduled
from normsearch.errors import TrainingError
from normsearch.search.checks import build_space
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import create_run
from normsearch.training import mean_score
from tests.made_up_search import slots_of_a_small_network

#: What a training scores, by case; or why it fails.
Scores = Callable[[TrialConfig], dict[str, float] | str]

SEARCH: dict[str, Any] = {
    "name": "made-up",
    "task": {"data": "none", "test_folds": ["3"], "validation_folds": ["2"]},
    "network": {"first_channels": 8, "depth": 1},
    "training": {"samples": 90, "evaluations": 1, "weight_decay": 0.001},
    "space": {
        "norm": {"choices": ["none", "BN", "IN", "GN-2"]},
        "learning_rate": {"low": 0.01, "high": 0.1, "default": 0.05},
        "batch_size": [2, 4],
    },
    "search": {"trials": 12, "sampler": "random", "pruner": "none", "single_norms": 0.0},
}


def record_of(cases: dict[str, float]) -> dict[str, Any]:
    """Return what `train_trial` would yield."""
    return {
        "evaluation": 1,
        "samples": 90,
        "steps": 45,
        "seconds": 1.0,
        "loss": 0.5,
        "score": mean_score(cases.values()),
        "peak_memory": 1000,
        "cases": cases,
        "parameters": 100,
        "learnt": {},
    }


@pytest.fixture
def made_up(tmp_path: Path) -> Callable[..., StudyRecord]:
    """Return a function that runs a study with made-up trainings and gives its record."""

    def run(raw: dict[str, Any] | StudyConfig, scores: Scores, trials: int = 0) -> StudyRecord:
        config = raw if isinstance(raw, StudyConfig) else validate(StudyConfig, raw, "made-up")
        folder = tmp_path / config.name
        if not folder.exists():  # else the run is resumed
            create_run(folder, config, {})
        space = build_space(config.space, list(slots_of_a_small_network()), "made-up: ")
        space = scheduled(space, config, folder, None, lambda event: None)
        coordinator = Coordinator(folder, config, space)

        def train(
            trial: TrialConfig, data: Any, where: Path, token: str
        ) -> Iterator[dict[str, Any]]:
            found = scores(trial)
            if isinstance(found, str):
                raise TrainingError(found, kind="nan")
            lines = [f"{case},1,{score!r}" for case, score in found.items()]
            where.joinpath("cases.csv").write_text("\n".join(["case,evaluation,score", *lines]))
            if trials and trial.number + 1 == trials:
                coordinator.request_stop()
            yield record_of(found)

        run_local(coordinator, None, train)
        return StudyRecord(folder)

    return run


def changed(raw: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return `raw` with other values, by keys such as ``task__test_folds``."""
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(raw))
    for name, value in values.items():
        *path, last = name.split("__")
        place = copy
        for part in path:
            place = place[part]
        place[last] = value
    return copy
