"""Ray Tune's two hooks, a searcher and a scheduler, over one coordinator.

The Optuna storage behind the coordinator holds all state: nothing here is saved or restored.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from ray import cloudpickle
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from normsearch.errors import (
    DiskFullError,
    GoneError,
    NetworkError,
    NormsearchError,
    StudyError,
    TakenError,
    one_line,
)
from normsearch.search.coordinator import Coordinator
from normsearch.search.trainable import ENDS, pack

_FAULTS = {kind.__name__: kind for kind in (DiskFullError, GoneError, TakenError)}
_DEATHS = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError)


class _Link:
    """State that searcher and scheduler share. Tune pickles them; copies do nothing."""

    def __init__(self, coordinator: Coordinator, slots: Callable[[], int]) -> None:
        self.coordinator, self.slots = coordinator, slots
        self.numbers: dict[str, int] = {}  # Tune's trial id -> Optuna's trial number
        self.pruned: set[str] = set()
        self.returned: set[str] = set()  # stopped at an evaluation point, to be resumed
        self.left: dict[str, float] = {}  # seconds each may still train, by its last record

    @contextmanager
    def keeping_failure(self) -> Iterator[None]:
        """Keep the error that ends the search; Tune would turn it into a traceback."""
        try:
            yield
        except NormsearchError as error:
            self.coordinator.failure = error
            raise

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class StorageSearcher(Searcher):  # type: ignore[misc]
    """Suggests the coordinator's next trial, and reports to it how each trial ended."""

    def __init__(self, link: _Link) -> None:
        super().__init__(metric="training_iteration", mode="max")
        self._link = link

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial's configuration, None if there is none now, or FINISHED."""
        link = self._link
        link.coordinator.check_interrupt()
        if link.coordinator.live >= link.slots():
            return None
        with link.keeping_failure():
            if link.coordinator.stopping or link.coordinator.done:
                finished: str = Searcher.FINISHED
                return finished
            job = link.coordinator.next_job()
        if job is None:
            return None
        link.numbers[trial_id] = job.config.number
        link.left[trial_id] = math.inf if job.seconds is None else job.seconds
        return pack(job)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Report a trial's last evaluation, which Tune passes only to this method, and its end."""
        number = self._link.numbers.pop(trial_id, None)
        if error or number is None:
            return  # reported by the scheduler's on_trial_error, which knows the cause
        with self._link.keeping_failure():
            self._settle(trial_id, number, result or {})

    def _settle(self, trial_id: str, number: int, result: dict[str, Any]) -> None:
        coordinator = self._link.coordinator
        if "fault" in result:
            kind, told = result["fault"]
            coordinator.storage_failed(number, _FAULTS[kind](told))
        elif "end" in result:
            coordinator.give_back(number)
            kinds = {kind.__name__: kind for kind in ENDS}
            coordinator.failure = kinds.get(result["end"], NetworkError)(result["reason"])
        elif trial_id in self._link.returned:
            coordinator.give_back(number)
        elif "failure" in result:
            coordinator.training_failed(number, result["failure"])
        elif trial_id in self._link.pruned:
            coordinator.finish(number, TrialState.PRUNED)
        else:
            coordinator.report(number, json.loads(result["record"]))
            coordinator.finish(number, TrialState.COMPLETE)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the state is in the storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the state is in the storage."""


class StorageScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops a trial when the Optuna study's pruner says so."""

    # A buffered result would reach the pruner late.
    _supports_buffered_results = False

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Report an evaluation; STOP if the pruner says so."""
        link = self._link
        link.coordinator.check_interrupt()
        number = link.numbers[trial.trial_id]
        link.left[trial.trial_id] = result["seconds_left"]
        with link.keeping_failure():
            prune = link.coordinator.report(number, json.loads(result["record"]))
        if not prune and not link.coordinator.stopping:
            return str(TrialScheduler.CONTINUE)
        (link.pruned if prune else link.returned).add(trial.trial_id)
        return str(TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Release the trial of a dead worker, to be resumed; fail one that raised an exception."""
        coordinator, number = self._link.coordinator, self._link.numbers[trial.trial_id]
        error = _error_of(trial)
        lines = str(error).strip().splitlines()
        fail = partial(coordinator.finish, number, TrialState.FAIL)
        with self._link.keeping_failure():
            if _ran_out_of_memory(error):
                fail(reason=f"memory: the node had none left ({type(error).__name__})")
            elif _never_started(error):
                coordinator.give_back(number)
                coordinator.failure = StudyError(
                    f"{coordinator.config.name}: a worker could not start ({one_line(lines[-1])}); "
                    "every node needs the packages and the modules of your own that this process "
                    "has."
                )
            elif not isinstance(error, _DEATHS):
                fail(reason=lines[-1] if lines else type(error).__name__, fault=True)
            elif self._overdue(trial):
                limit = coordinator.config.search.time_limit
                fail(reason=f"timeout: longer than time_limit, {limit:g} s", fault=True)
            elif coordinator.stopping:
                coordinator.give_back(number)  # its node stops together with the driver
            else:
                coordinator.crashed(number, _cause_of_death(error))

    def _overdue(self, trial: Trial) -> bool:
        # The worker measures each step and ends itself, see TrialActor.
        data = trial.run_metadata
        since = max(data.start_time or math.inf, data.last_result_time or 0.0)
        return bool(time.time() - since >= self._link.left[trial.trial_id])


def _ran_out_of_memory(error: object) -> bool:
    return isinstance(error, OutOfMemoryError) or (
        isinstance(error, RayActorError) and "running low on memory" in str(error)
    )


def _never_started(error: object) -> bool:
    """Return whether a worker raised an exception before its first trial, for example on import.

    Each further worker would. An error of Ray itself, such as a lost object, may pass.
    """
    last = str(error).strip().splitlines()[-1:]
    by_ray = any(line.startswith("ray.exceptions.") for line in last)
    return isinstance(error, RayActorError) and error.actor_init_failed and not by_ray


def _cause_of_death(error: object) -> str:
    """Return what Ray knows of a worker's death, and where the worker's log is."""
    kind, text = type(error).__name__, str(error)
    detail = re.search(r"Worker exit detail: (.*?)(?= Some common causes|$)", text, re.MULTILINE)
    told = one_line(detail[1] if detail else text)
    if "End of file" in told:  # all that is left of a process that a signal ended
        told = "its process was killed, perhaps for lack of memory, or crashed"
    pid, ip = (re.search(rf"^\t{key}: (\S+)$", text, re.MULTILINE) for key in ("pid", "ip"))
    log = f"; see Ray's log worker-*-{pid[1]}.err on {ip[1]}" if pid and ip else ""
    return f"{kind}: {told}{log}"


def _error_of(trial: Trial) -> object:
    # Trial.get_pickled_error reads the storage, which Tune writes only after this hook.
    path = Path(trial.pickled_error_file or "")
    return cloudpickle.loads(path.read_bytes()) if path.is_file() else trial.get_error()


def bridge(
    coordinator: Coordinator, slots: Callable[[], int]
) -> tuple[StorageSearcher, StorageScheduler]:
    """Return the searcher and the scheduler of one Tune run with `slots()` trials at once."""
    link = _Link(coordinator, slots)
    return StorageSearcher(link), StorageScheduler(link)
