"""The progress of one driver counts what the other drivers of its run train and finish."""

from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from normsearch.cli.progress import Progress
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event, Job
from tests.made_up_search import record


def begun(coordinator: Coordinator) -> Job:
    job = coordinator.next_job()
    assert job is not None
    return job


def finish(coordinator: Coordinator, job: Job) -> None:
    coordinator.report(job.config.number, record(job.config, 9))
    coordinator.finish(job.config.number, TrialState.COMPLETE)


def test_each_driver_tells_the_trials_of_the_study(
    study: Callable[..., Coordinator], capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    shown = Progress(study(6).config)
    shown._asked = 6
    one = study(6, listener=lambda event: (events.append(event), shown(event)))
    two = study(6)
    for _ in range(2):
        finish(two, begun(two))
    theirs = begun(two)
    ours = begun(one)
    assert "2/6 done, 0 pruned, 2 running" in shown.summary()
    assert [event.kind for event in events] == ["elsewhere", "started"]
    assert [number for number, *_ in events[0].record["trials"]] == [0, 1]
    finish(two, theirs)
    finish(one, ours)
    told = capsys.readouterr().err.splitlines()[-1]
    assert "trial 3 COMPLETE" in told
    assert "4/6 done, 0 pruned, 0 running, best" in told
    best = max(one.states(), key=lambda state: state[2] if state[1] == "COMPLETE" else 0)
    assert f"{best[2]:.3f} (trial {best[0]})" in told


def test_a_driver_alone_is_told_of_no_others(study: Callable[..., Coordinator]) -> None:
    kinds: set[str] = set()
    alone = study(3, listener=lambda event: kinds.add(event.kind))
    for _ in range(3):
        finish(alone, begun(alone))
    assert kinds == {"started", "evaluated", "finished"}
