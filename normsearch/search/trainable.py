"""A trial inside a Ray actor that is used again for the next one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray import tune

from normsearch.config import TrialConfig
from normsearch.errors import TrainingError
from normsearch.search.study import Job

Trainer = Callable[[TrialConfig, Any, Path, str], Iterator[dict[str, Any]]]
"""(trial, data, folder, token) -> one record per evaluation point."""


def pack(job: Job) -> dict[str, str]:
    """Return `job` as the configuration of a Tune trial: one text, so that Tune unrolls nothing."""
    return {
        "trial": job.config.model_dump_json(),
        "folder": str(job.folder),
        "token": job.token,
    }


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Yields a trainer's records to Tune, one a step."""

    def setup(self, config: dict[str, Any], *, data: Any, trainer: Trainer) -> None:
        """Keep `data` and `trainer` for every trial of this actor and begin the first."""
        self._data, self._trainer = data, trainer
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the trial of `new_config`, from its checkpoint if it has one."""
        self._trial = TrialConfig.model_validate_json(new_config["trial"])
        self._records = self._trainer(
            self._trial, self._data, Path(new_config["folder"]), new_config["token"]
        )
        return True

    def step(self) -> dict[str, Any]:
        """Return the next record as JSON; a training that cannot go on is a result, not a crash."""
        try:
            record = next(self._records)
        except TrainingError as error:
            return {"done": True, "failure": f"{error.kind}: {error}"}
        return {
            "done": record["evaluation"] >= self._trial.training.evaluations,
            "training_iteration": record["evaluation"],
            "record": json.dumps(record),
        }
