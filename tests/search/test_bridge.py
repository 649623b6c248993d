"""The reasons of failed trials on Ray: memory, a hang, a dead worker, an error of the program."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError

from normsearch.search.bridge import bridge
from normsearch.search.coordinator import Coordinator
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
