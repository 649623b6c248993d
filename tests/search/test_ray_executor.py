"""The search on Ray: each trial ends once, although workers die and drivers are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from normsearch.config import Resources, TrialConfig
from normsearch.errors import ChangedNetworkError, StudyError, TrainingError
from normsearch.search import ray_executor as executor
from normsearch.search.coordinator import Coordinator
from normsearch.search.ray_executor import run_ray
from tests.made_up_search import trainer
from tests.search.chaos import EVALUATIONS
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]
ROOT = Path(__file__).resolve().parents[2]
DEATHS = {1: (3, signal.SIGKILL), 6: (1, signal.SIGTERM)}  # at which evaluation, of what


def faulty(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Trials 1 and 6 lose a worker, 2 has a NaN loss, 3 a bug, 4 no memory, 5 and 7 hang."""
    died = folder / "died"
    for entry in trainer(config, data, folder, token):
        at, how = DEATHS.get(config.number, (0, 0))
        if entry["evaluation"] == at and not died.exists():
            died.touch()
            os.kill(os.getpid(), how)
            time.sleep(600)  # SIGTERM takes a moment
        if config.number == 2:
            raise TrainingError("the loss is not finite", kind="nan")
        if config.number == 3:
            raise ZeroDivisionError("a bug of ours")
        if config.number == 4:
            raise TrainingError("does not suffice", kind="memory")
        if config.number == 5:
            time.sleep(600)
        if config.number == 7:
            sum(range(10**15))  # in C, with Python's lock in hand
        yield {**entry, "steps": os.getpid()}


def test_run_with_faults_ends_with_every_trial_told_once(study: Maker, tmp_path: Path) -> None:
    data = {"a": 1}
    limited = study(trials=16, search={"time_limit": 6})
    run_ray(limited, data, faulty, resources=Resources(), workers=2)
    trials = stored(tmp_path / "run").trials
    states = Counter(trial.state for trial in trials)
    assert len(trials) == 16
    assert states[TrialState.FAIL] == 4
    assert states[TrialState.COMPLETE] >= 1
    assert states[TrialState.PRUNED] >= 1
    assert states.total() == 16
    assert {trial.number: trial.user_attrs.get("failure") for trial in trials[:8]} == {
        **dict.fromkeys((0, 1, 6)),
        2: "nan: the loss is not finite",
        3: "ZeroDivisionError: a bug of ours",
        4: "memory: does not suffice",
        5: "timeout: longer than time_limit, 6 s",
        7: "timeout: longer than time_limit, 6 s",
    }
    assert "in faulty" in (tmp_path / "run/trials/0005/hang.txt").read_text()
    for number in DEATHS:
        assert trials[number].state != TrialState.FAIL
        assert trials[number].user_attrs["crashes"] == 1
    workers = {
        trial.user_attrs[key]["steps"]
        for trial in trials
        for key in trial.user_attrs
        if key.startswith("evaluation:")
    }
    # Two slots; the workers that died and the one with the bug were replaced.
    assert len(workers) <= 2 + 5


def test_resources_that_no_node_has_are_refused(study: Maker) -> None:
    with pytest.raises(StudyError, match=r"search\.resources: must fit the cluster .* got cpu 1"):
        run_ray(study(), None, trainer, resources=Resources(cpu=1, gpu=1), workers=1)


def test_a_machine_too_busy_to_start_ray_is_told(
    study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def late(**arguments: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(StudyError, match=r"^Ray must start .*timed out during startup; try again"):
        run_ray(study(), None, trainer, resources=Resources(), workers=1)


def test_slots_follow_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    one = {"Alive": True, "Resources": {"CPU": 5.0, "GPU": 1.0}}
    nodes = [one, {"Alive": True, "Resources": {"CPU": 3.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 1.0})
    monkeypatch.setattr(executor, "_LOOK_S", -1.0)
    # Four times 2 CPUs are there, but not on one node each.
    assert executor.Slots(Resources(cpu=2), None, may_grow=True)() == 3
    assert executor.Slots(Resources(cpu=1, gpu=0.25), None, may_grow=True)() == 4
    assert executor.Slots(Resources(cpu=2), 2, may_grow=False)() == 2
    assert executor.Slots(Resources(cpu=2), 9, may_grow=True)() == 9  # an autoscaler sees it
    with pytest.raises(StudyError, match=r"must fit the cluster \(8 CPU, 1 GPU\), got cpu 6"):
        executor.Slots(Resources(cpu=6), None, may_grow=True)
    slots = executor.Slots(Resources(cpu=2), None, may_grow=True)
    nodes[0] = {**one, "Alive": False}
    assert slots() == 1


def ending(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Yield evaluations, and raise an error at trial 2's third one."""
    for entry in trainer(config, data, folder, token):
        if config.number == 2 and entry["evaluation"] == 3:
            raise ChangedNetworkError("its code is another")
        yield entry


def test_what_is_no_fault_of_a_trial_ends_the_run_and_costs_none(
    study: Maker, tmp_path: Path
) -> None:
    """One such error; the others take the same way, see test_bridge.py."""
    with pytest.raises(ChangedNetworkError, match=r"^its code is another$"):
        run_ray(study(trials=6), None, ending, resources=Resources(), workers=1)
    trial = stored(tmp_path / "run").trials[2]
    assert trial.state == TrialState.RUNNING
    assert sorted(trial.intermediate_values) == [1, 2]
    assert study(trials=6).next_job().config.number == 2


def kill_everything(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a driver and to every process it started, at once."""
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(family, timeout=20)


def start(folder: Path, trials: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.search.chaos", str(folder), str(trials)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def begun(folder: Path) -> dict[int, Counter[int]]:
    """Return, by trial, how many times each interval after the first was begun."""
    logs = sorted((folder / "trials").glob("*/begun"))
    return {int(log.parent.name): Counter(map(int, log.read_text().split())) for log in logs}


def told(folder: Path) -> Counter[int]:
    """Return how many times the journal says that each trial reached its end."""
    ends = {int(TrialState.COMPLETE), int(TrialState.PRUNED), int(TrialState.FAIL)}
    entries = JournalFileBackend(str(folder / "journal.log")).read_logs(0)
    return Counter(
        entry["trial_id"] for entry in entries if "trial_id" in entry and entry.get("state") in ends
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def kill_and_resume(folder: Path, trials: int, moments: list[int]) -> None:
    """Kill the study each time it has begun so many intervals, go on, then check the outcome."""
    kills = 0
    for moment in moments:
        process = start(folder, trials)
        wait_until(
            lambda: sum(map(Counter.total, begun(folder).values())) >= moment,  # noqa: B023
            process,
        )
        if process.poll() is None:
            kills += 1
            kill_everything(process)
    assert kills == len(moments), "the study ended before every kill"
    assert start(folder, trials).wait(timeout=600) == 0  # only a hang takes so long
    found = stored(folder).trials
    states = Counter(trial.state for trial in found)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == trials == len(found)
    for trial in found:
        steps = sorted(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        if trial.state == TrialState.COMPLETE:
            assert trial.value == trial.intermediate_values[EVALUATIONS]
    assert told(folder) == Counter({trial._trial_id: 1 for trial in found})
    again = {
        number: sum(n - 1 for n in counts.values()) for number, counts in begun(folder).items()
    }
    # Each kill strikes at most two running trials, and costs each at most the interval it was in.
    assert sum(again.values()) <= 2 * kills
    assert all(lost <= kills for lost in again.values())


def test_killed_and_resumed(tmp_path: Path) -> None:
    kill_and_resume(tmp_path / "run", trials=8, moments=[7])


@pytest.mark.slow
def test_killed_at_ten_moments_and_resumed(tmp_path: Path) -> None:
    kill_and_resume(tmp_path / "run", trials=24, moments=[0, 1, 4, 9, 15, 22, 30, 33, 36, 40])
