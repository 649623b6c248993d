"""A trainer that works in a process of a Ray cluster, for what the driver must not train itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic

from normsearch.config import Resources, TrialConfig
from normsearch.errors import StudyError, one_line
from normsearch.search.trial_faults import MAX_CRASHES
from normsearch.trials.trainer import AnyData, Record, Trainer


class RayTrainer(Generic[AnyData]):
    """A trainer that works in a process of the Ray cluster that this driver has joined.

    The process ends with the training, so the driver needs no GPU, and nothing of the training
    stays in the memory of one. If it dies, another one resumes from the checkpoint, at most
    `MAX_CRASHES` times.

    Args:
        trainer: trains one trial.
        resources: those of a trial; instead of a share of a GPU, the training has all of one.
    """

    def __init__(self, trainer: Trainer[AnyData], resources: Resources) -> None:
        self._trainer, self._resources = trainer, resources

    def __call__(
        self, config: TrialConfig, data: AnyData, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Train, and yield the trainer's records after the last one.

        Raises:
            StudyError: every process died.
        """
        yield from self._records(folder.absolute(), config, data, token)

    def _records(self, folder: Path, *arguments: Any) -> list[Record]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        cpu, gpu = self._resources.cpu, math.ceil(self._resources.gpu)
        # Retries of Ray's own have no end where memory runs out.
        task = ray.remote(num_cpus=cpu, num_gpus=gpu, max_calls=1, max_retries=0)(_train)
        given, died = [ray.put(value) for value in (self._trainer, *arguments)], 0
        while True:
            try:
                found: list[Record] = ray.get(task.remote(folder, *given))
                return found
            except RayTaskError as error:  # raised by the training; its text is a traceback
                raise error.cause from error
            except RayError as error:
                died += 1
                if died > MAX_CRASHES:
                    raise StudyError(
                        f"{folder}: its training must not end the process, and {died} "
                        f"processes died, the last one by: {one_line(error)}; resume the run to "
                        "train on from its checkpoint."
                    ) from error


def _train(
    folder: Path, trainer: Trainer[AnyData], config: TrialConfig, data: AnyData, token: str | None
) -> list[Record]:
    folder.mkdir(parents=True, exist_ok=True)  # machines may share no folder
    return list(trainer(config, data, folder, token))
