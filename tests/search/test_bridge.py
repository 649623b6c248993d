"""The reasons of failed trials on Ray: memory, a hang, a dead worker, an error of the program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError

from normsearch.errors import (
    CacheError,
    ChangedNetworkError,
    DiskFullError,
    NetworkError,
    NormsearchError,
)
from normsearch.search.bridge import bridge
from normsearch.search.coordinator import Coordinator
from normsearch.search.trainable import TrialActor
from tests.made_up_search import trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]
LOW = "1 worker(s) were killed due to the node running low on memory."


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
