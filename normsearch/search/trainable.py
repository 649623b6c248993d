"""The Ray actor that trains a trial, and is reused for the next one."""

from __future__ import annotations

import faulthandler
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune

from normsearch.config import TrialConfig
from normsearch.errors import (
    CacheError,
    ChangedNetworkError,
    DiskFullError,
    NetworkError,
    TrainingError,
)
from normsearch.search.jobs import Job, fault_of_storage, write_trace
from normsearch.trials.trainer import Trainer

ENDS = (DiskFullError, ChangedNetworkError, NetworkError, CacheError)
"""Errors that end a search and are not the trial's fault: the trial is released."""


def pack(job: Job) -> dict[str, str]:
    """Return `job` as a Tune trial's configuration: one text, which Tune does not expand."""
    return {
        "trial": job.config.model_dump_json(),
        "folder": str(job.folder.absolute()),  # a worker runs where its node was started
        "token": job.token,
        "seconds": "inf" if job.seconds is None else str(job.seconds),
    }


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Yields a trainer's records to Tune, one a step."""

    def setup(self, config: dict[str, Any], *, data: Any, trainer: Trainer[Any]) -> None:
        """Keep `data` and `trainer` for every trial of this actor and begin the first."""
        self._data, self._trainer = data, trainer
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the trial of `new_config`, from its checkpoint if it has one."""
        self._trial = TrialConfig.model_validate_json(new_config["trial"])
        self._folder, self._left = Path(new_config["folder"]), float(new_config["seconds"])
        self._records = self._trainer(self._trial, self._data, self._folder, new_config["token"])
        return True

    def step(self) -> dict[str, Any]:
        """Return the next record as JSON; a training that cannot continue is a result, no crash."""
        try:
            with self._time_limit():
                record = next(self._records)
        except TrainingError as error:
            return {"done": True, "failure": f"{error.kind}: {error}"}
        except ENDS as error:
            return {"done": True, "end": type(error).__name__, "reason": str(error)}
        except Exception as error:
            if fault := fault_of_storage(error, self._folder):
                return {"done": True, "fault": (type(fault).__name__, str(fault))}
            # Raised again, so that Ray fails the trial; the traceback is complete only here.
            write_trace(self._folder)
            raise
        return {
            "done": record["evaluation"] >= self._trial.training.evaluations,
            "training_iteration": record["evaluation"],
            "record": json.dumps(record),
            "seconds_left": self._left,
        }

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """End this process if the block exceeds the time left, wherever it hangs.

        hang.txt in the trial's folder then holds the stack.
        """
        if math.isinf(self._left):
            yield
            return
        began = time.monotonic()
        with (self._folder / "hang.txt").open("w") as where:
            # faulthandler uses a C thread, which needs no lock that the training may hold.
            faulthandler.dump_traceback_later(max(self._left, 0.01), exit=True, file=where)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        (self._folder / "hang.txt").unlink(missing_ok=True)
        self._left -= time.monotonic() - began
