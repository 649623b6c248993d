"""The coordinator: each trial ends once, interrupted ones are resumed, and never one too many."""

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from normsearch.config import TrialConfig
from normsearch.config.reading import read_trial
from normsearch.errors import StudyError, TrainingError
from normsearch.samplers.fixed import FixedParametersSampler
from normsearch.search import coordinator as module
from normsearch.search import trial_faults, trial_record
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event, Job
from normsearch.search.local_executor import run_local
from normsearch.space.choice import Choice
from normsearch.storage.driver_process import machine
from normsearch.storage.leases import Leases
from tests.made_up_search import EVALUATIONS, record, trainer

Maker = Callable[..., Coordinator]


def stored(folder: Path) -> optuna.Study:
    """Return the study as Optuna itself sees it in the journal file."""
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name=None, storage=storage)


def die(coordinator: Coordinator) -> None:
    """Let the coordinator's owner look dead to others, as after kill -9."""
    leases = coordinator.leases
    leases._write(op="owner", host=machine(), pid=os.getpid(), started="0", time=0.0)


def test_local_run_ends_with_the_asked_trials_all_told(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=14)
    run_local(coordinator, None, trainer)
    found = stored(tmp_path / "run")
    states = Counter(trial.state for trial in found.trials)
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sum(states.values()) == 14
    for trial in found.trials:
        steps = sorted(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        if trial.state == TrialState.COMPLETE:
            assert len(steps) == EVALUATIONS
            assert trial.value == trial.intermediate_values[EVALUATIONS]
        else:
            assert len(steps) in (2, 6)


def test_baselines_come_first_each_once(study: Maker, tmp_path: Path) -> None:
    run_local(study(trials=8), None, trainer)
    trials = stored(tmp_path / "run").trials
    assert [trial.user_attrs.get("baseline") for trial in trials] == (
        ["none", "BN", "IN", "GN-2"] + [None] * 4
    )
    for trial in trials[:4]:
        assert set(trial.user_attrs["norm_map"].values()) == {trial.user_attrs["baseline"]}


def test_trial_file_is_complete_and_matches_the_storage(study: Maker, tmp_path: Path) -> None:
    run_local(study(trials=5), None, trainer)
    for trial in stored(tmp_path / "run").trials:
        config = read_trial(tmp_path / "run" / "trials" / f"{trial.number:04d}" / "trial.json")
        assert config.number == trial.number
        assert config.norm_map == trial.user_attrs["norm_map"]
        assert config.learning_rate == trial.params["learning_rate"]
        assert config.batch_size == trial.params["batch_size"]


def test_interrupted_trial_is_gone_on_with_not_cloned(study: Maker, tmp_path: Path) -> None:
    first = study(trials=6)
    job = first.next_job()
    assert job is not None
    for evaluation in (1, 2):
        first.report(job.config.number, record(job.config, evaluation))
    die(first)
    second = study(trials=6)
    again = second.next_job()
    assert again is not None
    assert again.config == job.config
    assert again.token != job.token
    second.close()
    assert stored(tmp_path / "run").trials[0].state == TrialState.RUNNING
    third = study(trials=6)
    run_local(third, None, trainer)
    trials = stored(tmp_path / "run").trials
    assert len(trials) == 6
    assert all(trial.state.is_finished() for trial in trials)
    assert trials[0].user_attrs["resumes"] == 2


def test_repeated_records_change_nothing(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    job = coordinator.next_job()
    assert job is not None
    coordinator.report(0, record(job.config, 1))
    size = (tmp_path / "run" / "journal.log").stat().st_size
    assert coordinator.report(0, {**record(job.config, 1), "score": 0.123}) is False
    assert (tmp_path / "run" / "journal.log").stat().st_size == size


def test_closed_coordinator_leaves_trials_running_and_free(study: Maker, tmp_path: Path) -> None:
    first = study()
    assert first.next_job() is not None
    first.close()
    assert stored(tmp_path / "run").trials[0].state == TrialState.RUNNING
    assert Leases(tmp_path / "run" / "leases.log").holder(0) is None
    again = study().next_job()
    assert again is not None
    assert again.config.number == 0


def test_two_drivers_share_without_overlap_and_stop_at_the_total(
    study: Maker, tmp_path: Path
) -> None:
    one, two = study(trials=9), study(trials=9)
    jobs = {}
    while not (one.done and two.done):
        for driver in (one, two):
            if driver not in jobs and (job := driver.next_job()):
                jobs[driver] = trainer(job.config, None, job.folder, job.token), job
        for driver, (records, job) in list(jobs.items()):
            entry = next(records)
            number, last = job.config.number, entry["evaluation"] == EVALUATIONS
            if driver.report(number, entry):
                driver.finish(number, TrialState.PRUNED)
                del jobs[driver]
            elif last:
                driver.finish(number, TrialState.COMPLETE)
                del jobs[driver]
    trials = stored(tmp_path / "run").trials
    assert len(trials) == 9
    assert all(trial.state.is_finished() for trial in trials)


def test_two_drivers_that_choose_alike_at_one_moment_train_it_once(
    study: Maker, tmp_path: Path
) -> None:
    """The second asks after the first made its trial, and before it wrote down what it chose."""
    norm = {"choices": ["BN", "IN"], "per": "network"}
    space = {"norm": norm, "learning_rate": 0.1, "batch_size": [2, 4]}
    drivers = [study(space=space, search={"baselines": False}) for _ in range(2)]
    for driver in drivers:
        driver._freshness._sampler = FixedParametersSampler({"norm.network": "BN", "batch_size": 4})
    jobs: list[Job | None] = []
    later = threading.Thread(target=lambda: jobs.append(drivers[1].next_job()))
    suggest = drivers[0]._space.suggest

    def slow(trial: optuna.Trial) -> Choice:
        later.start()
        later.join(timeout=0.5)  # not at an end: it waits for us
        return suggest(trial)

    drivers[0]._space = SimpleNamespace(  # type: ignore[assignment]
        suggest=slow, size=None, single_norm=drivers[0]._space.single_norm
    )
    first = drivers[0].next_job()
    later.join()
    assert first is not None
    assert first.config.number == 0
    assert stored(tmp_path / "run").trials[1].user_attrs["duplicate_of"] == 0
    assert jobs[0] is not None
    assert (jobs[0].config.norm_map, jobs[0].config.batch_size) != (first.config.norm_map, 4)


def test_a_number_claimed_by_a_dead_driver_before_its_trial_exists(
    study: Maker, tmp_path: Path
) -> None:
    first = study(trials=6)
    waiting = len(stored(tmp_path / "run").trials)
    for number in range(waiting):
        assert first.leases.claim(number)
    assert first.leases.claim(waiting)  # reserved, then killed before creating it
    die(first)
    run_local(study(trials=6), None, trainer)
    trials = stored(tmp_path / "run").trials
    assert len(trials) == 6
    assert all(trial.state.is_finished() for trial in trials)


def test_the_end_is_not_told_by_one_who_lost_the_lease(study: Maker, tmp_path: Path) -> None:
    events: list[Event] = []
    first = study(listener=events.append)
    assert first.next_job() is not None
    first.leases.release(0)
    second = study()
    assert second.next_job() is not None
    first.finish(0, TrialState.FAIL, reason="late")
    assert events[-1].record == {"state": "TAKEN"}
    assert stored(tmp_path / "run").trials[0].state == TrialState.RUNNING


def test_a_failure_is_told_with_its_reason(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    coordinator.next_job()
    coordinator.finish(0, TrialState.FAIL, reason="nan: the loss")
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure"] == "nan: the loss"


def test_complete_without_a_dice_is_a_failure(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    job = coordinator.next_job()
    assert job is not None
    coordinator.report(0, {**record(job.config, EVALUATIONS), "score": math.nan})
    coordinator.finish(0, TrialState.COMPLETE)
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state == TrialState.FAIL
    assert "no validation case has a score" in trial.user_attrs["failure"]


def test_a_trial_that_kills_its_workers_fails_at_last(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    for _ in range(trial_faults.MAX_CRASHES + 1):
        job = coordinator.next_job()
        assert job is not None
        assert job.config.number == 0
        coordinator.crashed(0, "ActorDiedError")
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure"] == "4 workers died: ActorDiedError"


def test_a_trial_that_gets_on_between_deaths_goes_on(study: Maker, tmp_path: Path) -> None:
    coordinator = study()
    for evaluation in range(1, trial_faults.MAX_CRASHES + 3):
        job = coordinator.next_job()
        assert job is not None
        coordinator.report(0, record(job.config, evaluation))
        coordinator.crashed(0, "ActorDiedError")
    trial = stored(tmp_path / "run").trials[0]
    assert trial.state == TrialState.RUNNING
    assert trial.user_attrs["crashes"] == trial_faults.MAX_CRASHES + 2


def test_a_late_writer_reports_nothing_and_is_told_to_stop(study: Maker, tmp_path: Path) -> None:
    first = study()
    job = first.next_job()
    assert job is not None
    first.leases.release(0)
    assert study().next_job() is not None
    assert first.report(0, record(job.config, 1)) is True
    assert stored(tmp_path / "run").trials[0].intermediate_values == {}


def test_too_little_memory_is_a_violated_constraint_not_tried_again(
    study: Maker, tmp_path: Path
) -> None:
    coordinator = study()
    coordinator.next_job()
    coordinator.finish(0, TrialState.FAIL, reason="memory: does not suffice")
    trial = stored(tmp_path / "run").trials[0]
    assert trial.constraints == {"memory": 1.0}
    assert trial.state == TrialState.PRUNED  # what Optuna's samplers look at
    assert coordinator.states()[0][1] == "FAIL"
    assert coordinator.next_job().config.number == 1


def test_the_time_left_counts_what_was_trained_before(study: Maker) -> None:
    first = study(search={"time_limit": 10})
    job = first.next_job()
    assert job is not None
    assert job.seconds == 10
    first.report(0, record(job.config, 3))
    first.close()
    again = study(search={"time_limit": 10}).next_job()
    assert again is not None
    assert again.seconds == 8.5


def test_a_run_asked_to_stop_gives_back_after_the_evaluation(study: Maker, tmp_path: Path) -> None:
    coordinator = study()

    def asked(config, data, folder, token):  # type: ignore[no-untyped-def]
        for entry in trainer(config, data, folder, token):
            if (config.number, entry["evaluation"]) == (1, 4):
                assert len(Leases(tmp_path / "run" / "leases.log").stop_all()) == 1
            yield entry

    run_local(coordinator, None, asked)
    trials = stored(tmp_path / "run").trials
    assert trials[1].state == TrialState.RUNNING
    assert sorted(trials[1].intermediate_values) == [1, 2, 3, 4]
    assert [trial.state for trial in trials[2:]] == [TrialState.WAITING] * 2
    run_local(study(), None, trainer)  # one that comes later was not asked
    assert all(trial.state.is_finished() for trial in stored(tmp_path / "run").trials)


def test_a_local_trial_over_its_time_fails(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=4, search={"time_limit": 0.2})

    def slow(config, data, folder, token):  # type: ignore[no-untyped-def]
        for entry in trainer(config, data, folder, token):
            time.sleep(0.3 if config.number == 1 else 0)
            yield {**entry, "seconds": 0.0}

    run_local(coordinator, None, slow)
    trial = stored(tmp_path / "run").trials[1]
    assert trial.user_attrs["failure"] == "timeout: longer than time_limit"


def test_unfinished_trials_lose_their_checkpoint_complete_ones_keep_it(
    study: Maker, tmp_path: Path
) -> None:
    coordinator = study(trials=10)

    def with_checkpoint(config, data, folder, token):  # type: ignore[no-untyped-def]
        (folder / "checkpoint.pt").write_text("weights")
        yield from trainer(config, data, folder, token)

    run_local(coordinator, None, with_checkpoint)
    for trial in stored(tmp_path / "run").trials:
        path = tmp_path / "run" / "trials" / f"{trial.number:04d}" / "checkpoint.pt"
        assert path.exists() == (trial.state == TrialState.COMPLETE)


def test_more_trials_later_draw_new_configurations(study: Maker, tmp_path: Path) -> None:
    run_local(study(trials=8), None, trainer)
    run_local(study(trials=14), None, trainer)
    trials = stored(tmp_path / "run").trials
    assert len(trials) == 14
    drawn = {tuple(trial.params.values()) for trial in trials if "baseline" not in trial.user_attrs}
    assert len(drawn) == 10


@pytest.mark.parametrize("url", [None, "sqlite"])
def test_every_storage_keeps_the_same_story(study: Maker, tmp_path: Path, url: str | None) -> None:
    storage_url = f"sqlite:///{tmp_path}/study.db" if url else None
    first = study(trials=5, storage_url=storage_url)
    job = first.next_job()
    assert job is not None
    first.report(0, record(job.config, 1))
    first.close()
    run_local(study(trials=5, storage_url=storage_url), None, trainer)
    again = study(trials=5, storage_url=storage_url)
    assert again.done
    assert [state for _, state, _ in again.states()].count("RUNNING") == 0
    assert len(again.states()) == 5


def test_a_decision_to_prune_outlives_a_crash_before_the_tell(study: Maker) -> None:
    first = study(trials=12)
    while True:
        job = first.next_job()
        assert job is not None
        number = job.config.number
        entries = list(trainer(job.config, None, job.folder, job.token))
        pruned_at = next((e["evaluation"] for e in entries if first.report(number, e)), None)
        if pruned_at:
            break
        first.finish(number, TrialState.COMPLETE)
    die(first)
    second = study(trials=12)
    again = second.next_job()
    assert again is not None
    assert again.config.number == number
    answers = [second.report(number, entry) for entry in entries[:pruned_at]]
    assert answers == [False] * (pruned_at - 1) + [True]


def test_faults_in_a_row_end_the_search(study: Maker) -> None:
    coordinator = study(trials=30)
    for number in range(module.MAX_FAULTS):
        assert coordinator.next_job() is not None
        coordinator.finish(number, TrialState.FAIL, reason="ImportError: no CUDA", fault=True)
    with pytest.raises(StudyError, match=r"the last 5 trials failed \(ImportError: no CUDA\)"):
        coordinator.next_job()


def test_a_fault_in_the_middle_of_starting_loses_nothing(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial is RUNNING and ours, but never came back from next_job: it is taken up again."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    coordinator = study(trials=5)
    real, faults = trial_record.write_text, iter([OSError("disk"), None])  # type: ignore[attr-defined]

    def flaky(path: Path, text: str) -> None:
        if fault := next(faults, None):
            raise fault
        real(path, text)

    monkeypatch.setattr(trial_record, "write_text", flaky)
    job = coordinator.next_job()
    assert job is not None
    assert job.config.number == 0
    assert len([t for t in stored(tmp_path / "run").trials if t.state == TrialState.RUNNING]) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_without_its_gpu_memory_is_tried_once_more(
    study: Maker, tmp_path: Path, times: int
) -> None:
    tries: list[int] = []

    def crowded(config: TrialConfig, *rest: Any) -> Iterator[dict[str, Any]]:
        tries.append(config.number)
        if config.number == 1 and tries.count(1) <= times:
            raise TrainingError("other processes have the GPU's memory", kind="neighbour")
        yield from trainer(config, *rest)

    run_local(study(trials=3), None, crowded)
    trial = stored(tmp_path / "run").trials[1]
    assert tries.count(1) == 2
    assert trial.user_attrs["neighbours"] == times
    failure = "neighbour: other processes have the GPU's memory" if times == 2 else None
    assert trial.user_attrs.get("failure") == failure
    assert "infeasible" not in trial.user_attrs
