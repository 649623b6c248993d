"""The interface of executors, and the one in this process, which works with a debugger."""

from __future__ import annotations

import time
from typing import Protocol

from optuna.trial import TrialState

from normsearch.errors import NormsearchError, TrainingError
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Job, fault_of_storage, write_trace
from normsearch.search.signals import interruptible
from normsearch.trials.trainer import AnyData, Trainer


class Executor(Protocol):
    """Trains the trials of a coordinator, and reports each evaluation and end to it."""

    def __call__(
        self, coordinator: Coordinator, data: AnyData, trainer: Trainer[AnyData], /
    ) -> None:
        """Train until as many trials as asked for are finished.

        Args:
            coordinator: provides the trials and receives their results.
            data: passed to `trainer`.
            trainer: trains one trial.
        """


def run_local(coordinator: Coordinator, data: AnyData, trainer: Trainer[AnyData]) -> None:
    """Train until as many trials as asked for are finished.

    A study's `time_limit` is checked after each evaluation, so a trial that hangs is not stopped.
    See `Executor`.
    """
    try:
        with interruptible(coordinator) as fail, coordinator.leases.beating(fail):
            while not (coordinator.done or coordinator.stopping):
                job = coordinator.next_job()
                if job is None:
                    time.sleep(1)  # other drivers train the rest
                else:
                    _run(coordinator, job, data, trainer)
    finally:
        coordinator.close()


def _run(coordinator: Coordinator, job: Job, data: AnyData, trainer: Trainer[AnyData]) -> None:
    number, began = job.config.number, time.monotonic()
    try:
        for record in trainer(job.config, data, job.folder, job.token):
            if coordinator.report(number, record):
                coordinator.finish(number, TrialState.PRUNED)
                return
            if record["evaluation"] < job.config.training.evaluations and coordinator.stopping:
                coordinator.give_back(number)
                return
            if job.seconds is not None and time.monotonic() - began > job.seconds:
                raise TrainingError("longer than time_limit", kind="timeout")
    except TrainingError as error:
        coordinator.training_failed(number, f"{error.kind}: {error}")
        return
    # Any error of a user's network fails only its trial, as in an actor under Ray. The traceback
    # is kept in the trial's folder.
    except Exception as error:
        coordinator.check_interrupt()
        if fault := fault_of_storage(error, job.folder):
            coordinator.storage_failed(number, fault)
            return
        if isinstance(error, NormsearchError):
            raise  # the trial is not the cause
        write_trace(job.folder)
        reason = f"{type(error).__name__}: {error}"
        coordinator.finish(number, TrialState.FAIL, reason=reason, fault=True)
        return
    coordinator.finish(number, TrialState.COMPLETE)
