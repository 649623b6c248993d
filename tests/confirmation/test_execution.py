"""Who trains what of a prepared study; the trainings and the cluster are made up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from normsearch.confirmation import execution
from normsearch.data import Split
from normsearch.networks.importing import WithProvided
from normsearch.search.coordinator import Coordinator
from normsearch.search.ray_executor import RayTrainer


@pytest.mark.parametrize(("executor", "kind"), [("ray", RayTrainer), ("local", WithProvided)])
def test_on_ray_a_worker_trains_the_supernet_before_the_first_trial(
    executor: Any, kind: type, study: Callable[..., Coordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[Any]()

    def run_ray(*given: Any, first: Callable[[], None], **named: Any) -> None:
        done.append("joined")
        first()
        done.append("trials")

    monkeypatch.setattr(execution, "run_supernet", lambda *given: done.append(type(given[-1])))
    monkeypatch.setattr(execution, "run_ray", run_ray)
    monkeypatch.setattr(execution, "run_local", lambda *given: done.append("trials"))
    coordinator = study(search={"method": "supernet"})
    prepared: Any = SimpleNamespace(
        config=coordinator.config, split=Split((), (), ()), space=coordinator._space, cases=()
    )
    execution.execute(coordinator, prepared, 1, executor, None)
    assert done == [*(["joined"] if executor == "ray" else []), kind, "trials"]
