"""The end of searches that hours, samples or a stop rule limit, through the coordinator."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from normsearch.config import TrialConfig
from normsearch.errors import TrainingError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.confirm_share import confirm_share
from normsearch.storage.cost_to_go import budget_of
from normsearch.storage.leases import Leases
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from normsearch.storage.search_end import race_steps
from tests.made_up_search import EVALUATIONS, trainer
from tests.storage.test_race import sizes, trials_of

Maker = Callable[..., Coordinator]

GAIN = "normsearch.samplers.expected_gain.expected_gain"
QUICK = {"pruner": "none", "sampler": "random"}


def end_of(coordinator: Coordinator) -> tuple[str, int, int]:
    end = coordinator._race.end
    assert end is not None
    return end.reason, end.search, end.race


def recorded(coordinator: Coordinator) -> StudyRecord:
    """Return the record of a made-up run, which has no study.yaml of its own."""
    write_study(coordinator.folder, coordinator.config)
    return StudyRecord(coordinator.folder, skim=True)


def samples_of(folder: Path) -> int:
    """Return what was trained; a trial of the made-up study has 90 samples."""
    return sum(10 * len(trial.intermediate_values) for trial in trials_of(folder))


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"samples": 900, "race": 0.4}, ("samples", 6, 4)),
        ({"samples": 449}, ("samples", 4, 0)),
        ({"samples": 900, "race": 0.4, "confirm": 0.5}, ("samples", 3, 2)),
        ({"samples": 90, "race": 0.4}, ("samples", 1, 0)),
        ({"samples": 9000, "trials": 5, "race": 0.4}, ("trials", 3, 2)),
    ],
)
def test_samples_are_divided_and_never_exceeded(
    search: dict[str, Any], expected: tuple[str, int, int], study: Maker, tmp_path: Path
) -> None:
    coordinator = study(search.get("trials"), {**QUICK, **search})
    run_local(coordinator, None, trainer)
    assert end_of(coordinator) == expected
    assert coordinator.done
    assert not coordinator.exhausted
    begun = [t for t in trials_of(tmp_path / "run") if t.state != TrialState.WAITING]
    assert len(begun) == expected[1] + expected[2]
    assert samples_of(tmp_path / "run") <= search["samples"] * (1 - search.get("confirm", 0))


def test_pruned_trials_leave_samples_to_further_ones(study: Maker, tmp_path: Path) -> None:
    run_local(
        study(None, {"samples": 1800, "pruner": "median", "sampler": "random"}), None, trainer
    )
    trials = trials_of(tmp_path / "run")
    assert TrialState.PRUNED in {trial.state for trial in trials}
    assert len(trials) > 20
    assert 1800 - 90 < samples_of(tmp_path / "run") <= 1800


def test_running_trials_hold_the_samples_that_they_still_need(study: Maker) -> None:
    one, two = study(None, {"samples": 200}), study(None, {"samples": 200})
    jobs = [one.next_job(), two.next_job()]
    assert all(jobs)
    assert one.next_job() is two.next_job() is None
    assert not one.done
    assert one._race.end is None  # they may yet be pruned
    assert jobs[0] is not None
    one.finish(jobs[0].config.number, TrialState.FAIL, reason="nan: stopped early")
    assert one.next_job() is not None


def test_a_larger_budget_goes_on_and_the_same_one_does_not(study: Maker, tmp_path: Path) -> None:
    search = {**QUICK, "race": 0.4}
    run_local(study(None, {**search, "samples": 450}), None, trainer)
    run_local(study(None, {**search, "samples": 450}), None, trainer)
    assert sizes(trials_of(tmp_path / "run")) == [1, 1]
    larger = study(None, {**search, "samples": 900})
    run_local(larger, None, trainer)
    assert end_of(larger) == ("samples", 6, 4)
    assert sizes(trials_of(tmp_path / "run")) == [1, 1, 2, 1, 1]


def test_what_is_added_to_a_limit_is_raced_where_the_search_has_had_its_part(
    study: Maker, tmp_path: Path
) -> None:
    search = {**QUICK, "race": 0.4}
    run_local(study(None, {**search, "samples": 450}), None, trainer)
    larger = study(None, {**search, "samples": 650})
    run_local(larger, None, trainer)
    assert end_of(larger) == ("samples", 5, 2)
    assert sizes(trials_of(tmp_path / "run")) == [1, 1, 1, 1]
    limited = study(9, {**search, "samples": 9000})
    run_local(limited, None, trainer)
    assert end_of(limited) == ("trials", 7, 2)
    found = budget_of(recorded(limited), 0)
    assert found["budget"] == [
        "The search ended after 7 trials: another would exceed its part of search.trials (9). Its "
        "race has 2 trials."
    ]
    assert found["seconds_to_go"] == 0


def test_nothing_is_to_go_after_a_race_that_had_less_than_its_share(study: Maker) -> None:
    search = {**QUICK, "race": 0.4}
    run_local(study(10, search), None, trainer)
    longer = study(12, search)
    run_local(longer, None, trainer)
    assert budget_of(recorded(longer), 0)["budget"] == []


@pytest.mark.parametrize("sampler", ["gp", "random"])
def test_a_run_whose_space_is_exhausted_is_known_to_be_finished(sampler: str, study: Maker) -> None:
    space = {"norm": {"choices": ["BN", "IN"], "per": "network"}, "learning_rate": 0.1,
             "batch_size": [2, 4]}  # fmt: skip
    coordinator = study(10, {**QUICK, "race": 0.4, "sampler": sampler}, space)
    run_local(coordinator, None, trainer)
    record = recorded(coordinator)
    found = budget_of(record, 0)
    assert found["budget"] == [
        "The search ended after 4 trials: the space holds no further configuration. Its race has "
        "4 trials."
    ]
    assert found["seconds_to_go"] == 0
    assert record.asked == sum(record.trials()["state"] == "COMPLETE") == 8


def test_hours_leave_their_share_to_race_and_confirmation(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hours(leases: Leases) -> float:
        return 0.1 * sum(trial.state.is_finished() for trial in trials_of(tmp_path / "run"))

    monkeypatch.setattr(Leases, "hours", hours)
    search = {"hours": 1, "race": 0.4, "confirm": 0.5, **QUICK}
    coordinator = study(None, search)
    run_local(coordinator, None, trainer)
    assert end_of(coordinator) == ("hours", 3, 2)
    assert coordinator.done


def test_a_race_is_as_large_as_the_hours_left_allow() -> None:
    assert [race_steps(size, 1) for size in (1, 4, 8)] == [1, 4, 8]
    assert [race_steps(size, 4) for size in (1, 4, 8, 16)] == [1, 3, 4, 6]


def falling(trials: list[Any], sign: int) -> float:
    """Return a gain that falls from 0.1 as trials finish."""
    return 1 / (10 * sum(trial.state.is_finished() for trial in trials))


STOP = {"stop": {"gain": 0.018, "after": 4}, "race": 0.25, **QUICK}


def test_a_search_ends_when_little_is_left_to_gain(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def gain(trials: list[Any], sign: int) -> float:
        asked.append(sum(trial.state.is_finished() for trial in trials))
        return falling(trials, sign)

    monkeypatch.setattr(GAIN, gain)
    coordinator = study(40, STOP)
    run_local(coordinator, None, trainer)
    assert end_of(coordinator) == ("gain", 6, 2)
    assert asked == list(range(4, 7))  # once a finished trial, not before enough have finished
    assert sizes(trials_of(tmp_path / "run")) == [1, 1]
    found = budget_of(recorded(coordinator), 0)
    assert found["expected_gain"] == pytest.approx(1 / 60)
    assert found["seconds_to_go"] == 0
    assert found["budget"] == [
        "The search ended after 6 trials: a further training is expected to gain 0.017, less "
        "than search.stop.gain (0.018). Its race has 2 trials."
    ]


def test_two_drivers_decide_once_and_estimate_once(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GAIN, falling)
    one = study(40, STOP)
    run_local(one, None, trainer)

    def never(trials: list[Any], sign: int) -> float:
        raise AssertionError("the end is recorded")

    monkeypatch.setattr(GAIN, never)
    two = study(40, STOP)
    run_local(two, None, trainer)
    assert end_of(two) == end_of(one)
    assert len(trials_of(tmp_path / "run")) == 8


def test_a_driver_that_another_one_overtakes_decides_nothing(
    study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GAIN, falling)
    one, two = study(40, STOP), study(40, STOP)
    assert two.leases.claim(-2)  # it is about to record the end
    while (job := one.next_job()) is not None:
        for entry in trainer(job.config, None, job.folder, job.token):
            one.report(job.config.number, entry)
        one.finish(job.config.number, TrialState.COMPLETE)
    assert one._race.end is None
    assert not one.done
    assert len(one.states()) == 6
    two.leases.release(-2)
    assert one.next_job() is not None
    assert end_of(one) == ("gain", 6, 2)


def test_hours_are_the_cost_to_go_while_nothing_else_is_known(study: Maker) -> None:
    record = recorded(study(None, {"hours": 3, "confirm": 0.5}))
    found = budget_of(record, 0)
    assert record.asked is None
    assert found["seconds_to_go"] == pytest.approx(1.5 * 3600, rel=1e-3)
    assert found["budget"][1:] == [
        "To go: at most 1 h 30 min.",
        "Left to `normsearch confirm`: 1 h 30 min.",
    ]


@pytest.mark.parametrize("search", [{"trials": 8}, {"samples": 8 * 90}, {"trials": 40, **STOP}])
def test_a_search_that_completed_nothing_is_known_to_be_finished(
    search: dict[str, Any], study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[Any]:
        yield from itertools.islice(trainer(config, data, folder, token), EVALUATIONS - 1)
        raise TrainingError("not finite", kind="nan")

    monkeypatch.setattr(GAIN, falling)
    coordinator = study(search.get("trials"), {**QUICK, **search, "race": 0.25})
    run_local(coordinator, None, failing)
    assert coordinator.done
    record = recorded(coordinator)
    assert record.asked == len([t for t in record.frozen() if t.state.is_finished()])
    assert not any(told.startswith("To go") for told in budget_of(record, 0)["budget"])


def test_what_is_left_to_confirm_is_told_in_trainings(study: Maker) -> None:
    coordinator = study(None, {"samples": 1800, "confirm": 0.3, **QUICK})
    assert budget_of(recorded(coordinator), 0)["budget"][-1] == (
        "Left to `normsearch confirm`: 540 samples, 6 trainings."
    )
    run_local(coordinator, None, trainer)
    trials = recorded(coordinator).frozen()  # 14, of 4.5 s each
    hours = study(None, {"hours": 0.5, "confirm": 0.1, **QUICK}).config
    assert str(confirm_share(trials, hours, 14 * 4.5 / 3600)) == "3 min, about 40 trainings"
    assert str(confirm_share(trials, hours, 7 * 4.5 / 3600)) == "3 min, about 80 trainings"
    assert confirm_share(trials, study(9, QUICK).config, 1.0) is None


def test_the_cost_to_go_is_of_search_and_race(study: Maker) -> None:
    coordinator = study(20, {"race": 0.4, "pruner": "none"})
    before = budget_of(recorded(coordinator), 0)
    assert before["seconds_to_go"] is None
    assert before["budget"] == [
        "To go (12 trials and 8 of the race, 1 at once): unknown until a trial has finished."
    ]
    for _ in range(2):
        job = coordinator.next_job()
        assert job is not None
        for entry in trainer(job.config, None, job.folder, job.token):
            coordinator.report(job.config.number, entry)
        coordinator.finish(job.config.number, TrialState.COMPLETE)
    record = recorded(coordinator)
    # A trial takes 4.5 s. Two at once: 5 times two, and rounds of 4, 2, 1 and 1.
    assert budget_of(record, 2)["seconds_to_go"] == pytest.approx((5 + 2 + 1 + 1 + 1) * 4.5)


def test_an_interruption_in_the_race_does_not_move_the_end(study: Maker, tmp_path: Path) -> None:
    def mortal(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[Any]:
        if config.network.seed:  # a replicate
            raise KeyboardInterrupt
        yield from trainer(config, data, folder, token)

    search = {**QUICK, "samples": 450, "race": 0.4}
    interrupted = study(None, search)
    with pytest.raises(KeyboardInterrupt):
        run_local(interrupted, None, mortal)
    resumed = study(None, search)
    run_local(resumed, None, trainer)
    assert end_of(resumed) == end_of(interrupted) == ("samples", 3, 2)
    assert sizes(trials_of(tmp_path / "run")) == [1, 1]
