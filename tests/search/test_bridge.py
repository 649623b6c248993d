"""The reasons of failed trials on Ray: memory, a hang, a dead worker, an error of the program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError

from normsearch.errors import (
    CacheError,
    ChangedNetworkError,
    DiskFullError,
    NetworkError,
    NormsearchError,
    StudyError,
)
from normsearch.search.bridge import bridge
from normsearch.search.coordinator import Coordinator
from normsearch.search.trainable import TrialActor
from tests.made_up_search import trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]
LOW = "1 worker(s) were killed due to the node running low on memory."
KILLED = (  # as Ray 2.60 words it
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file. Some "
    "common causes include: (1) the process was killed by the OOM killer."
)


@pytest.mark.parametrize(
    ("error", "ago", "state", "failure"),
    [
        (OutOfMemoryError(LOW), 0, "PRUNED", "memory: the node had none left (OutOfMemoryError)"),
        (ActorDiedError(), 0, "RUNNING", None),
        (NodeDiedError("gone"), 0, "RUNNING", None),
        (ActorDiedError(), 11, "FAIL", "timeout: longer than time_limit, 10 s"),
        (ZeroDivisionError("a bug"), 0, "FAIL", "a bug"),
    ],
)
def test_each_error_has_its_outcome(
    study: Maker,
    tmp_path: Path,
    error: Exception,
    ago: float,
    state: str,
    failure: str | None,
) -> None:
    coordinator = study(search={"time_limit": 10})
    searcher, scheduler = bridge(coordinator, lambda: 1)
    assert isinstance(searcher.suggest("t"), dict)
    data = SimpleNamespace(start_time=time.time() - ago, last_result_time=None)
    trial = SimpleNamespace(
        trial_id="t", pickled_error_file=None, get_error=lambda: error, run_metadata=data
    )
    scheduler.on_trial_error(None, trial)
    found = stored(tmp_path / "run").trials[0]
    assert found.state.name == state
    assert found.user_attrs.get("failure") == failure
    assert coordinator.live == 0
    if state == "PRUNED":
        assert found.constraints == {"memory": 1.0}


def fail_with(error: Exception, coordinator: Coordinator) -> None:
    """Let the coordinator's next trial end with an error of Ray."""
    searcher, scheduler = bridge(coordinator, lambda: 1)
    assert isinstance(searcher.suggest("t"), dict)
    data = SimpleNamespace(start_time=None, last_result_time=None)
    scheduler.on_trial_error(
        None,
        SimpleNamespace(
            trial_id="t", pickled_error_file=None, get_error=lambda: error, run_metadata=data
        ),
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ActorDiedError(
                ActorDiedErrorContext(
                    actor_id=bytes(16), pid=7, node_ip_address="1.2.3.4", error_message=KILLED
                )
            ),
            "ActorDiedError: its process was killed, perhaps for lack of memory, or crashed; "
            "see Ray's log worker-*-7.err on 1.2.3.4",
        ),
        (NodeDiedError("the node\n is gone."), "NodeDiedError: the node is gone"),
    ],
)
def test_a_death_is_told_with_its_cause(
    study: Maker, tmp_path: Path, error: Exception, told: str
) -> None:
    for _ in range(4):
        fail_with(error, study())
    failure = stored(tmp_path / "run").trials[0].user_attrs["failure"]
    assert failure == f"4 workers died: {told}"


def started_with(last_line: str) -> ActorDiedError:
    """Return the error of an actor whose start raised an exception, by the end of its traceback."""
    text = f"Traceback (most recent call last):\n  File ...\n{last_line}\n"
    return ActorDiedError.from_task_error(RayTaskError("__init__", text, Exception()))


def test_a_worker_that_cannot_start_ends_the_run_with_the_cause(
    study: Maker, tmp_path: Path
) -> None:
    coordinator = study()
    fail_with(started_with("ModuleNotFoundError: No module named 'my_loop'"), coordinator)
    with pytest.raises(StudyError, match=r"could not start \(.*No module named 'my_loop'\)"):
        coordinator.next_job()
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state.name == "RUNNING"
    assert "crashes" not in trial.user_attrs


def test_a_worker_whose_start_ray_prevented_is_replaced(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    fail_with(started_with("ray.exceptions.OwnerDiedError: lost"), coordinator)
    assert stored(tmp_path / "run").trials[0].user_attrs["crashes"] == 1
    assert coordinator.failure is None


@pytest.mark.parametrize(
    "error",
    [
        DiskFullError("the disk is full"),
        ChangedNetworkError("on a worker its code is another"),
        NetworkError("it cannot be built here"),
        CacheError("the case is not there"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_fault_of_a_trial_ends_the_run_and_releases_it(
    study: Maker, tmp_path: Path, error: NormsearchError
) -> None:
    def ending(*given: Any) -> Iterator[dict[str, Any]]:
        yield next(trainer(*given))
        raise error

    coordinator = study()
    searcher, scheduler = bridge(coordinator, lambda: 1)
    actor = TrialActor.__new__(TrialActor)  # its base class starts on a worker alone
    actor.setup(searcher.suggest("t"), data=None, trainer=ending)
    scheduler.on_trial_result(None, SimpleNamespace(trial_id="t"), actor.step())
    searcher.on_trial_complete("t", actor.step())
    assert type(coordinator.failure) is type(error)
    assert str(coordinator.failure) == str(error)
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state.name == "RUNNING"
    assert list(trial.intermediate_values) == [1]
    assert coordinator.live == 0


def test_a_death_while_stopping_is_not_counted(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    searcher, scheduler = bridge(coordinator, lambda: 1)
    searcher.suggest("t")
    coordinator.request_stop()
    data = SimpleNamespace(start_time=None, last_result_time=None)
    trial = SimpleNamespace(
        trial_id="t", pickled_error_file=None, get_error=ActorDiedError, run_metadata=data
    )
    scheduler.on_trial_error(None, trial)
    assert "crashes" not in stored(tmp_path / "run").trials[0].user_attrs
    assert searcher.suggest("u") == "FINISHED"


def test_no_more_at_once_than_there_are_slots(study: Maker) -> None:
    slots = [1]
    searcher, _ = bridge(study(), lambda: slots[0])
    assert searcher.suggest("a") is not None
    assert searcher.suggest("b") is None
    slots[0] = 2  # a node joined
    assert searcher.suggest("b") is not None
