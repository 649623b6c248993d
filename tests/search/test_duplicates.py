"""No configuration is trained twice: repetitions are answered, and a finite space ends."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from normsearch.config import SearchConfig, TrialConfig
from normsearch.search.coordinator import Coordinator
from normsearch.search.duplicates import Freshness
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local
from normsearch.search.single_norms import SingleNormTuning
from normsearch.storage.trial_states import outcome
from tests.made_up_search import EVALUATIONS, record, trainer
from tests.space.test_layered import space

Maker = Callable[..., Coordinator]
FOUR: dict[str, Any] = {
    "norm": {"choices": ["BN", "IN"], "per": "network"},
    "learning_rate": 0.1,
    "batch_size": [2, 4],
}


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name=None, storage=storage).trials


class Counting:
    """A trainer that remembers what it trained."""

    def __init__(self) -> None:
        self.trained: list[tuple[Any, ...]] = []

    def __call__(
        self, config: TrialConfig, data: Any, folder: Path, token: str
    ) -> Iterator[dict[str, Any]]:
        self.trained.append((*config.norm_map.values(), config.learning_rate, config.batch_size))
        yield from trainer(config, data, folder, token)


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "genetic", "evonms", "evolution"])
def test_a_space_of_four_ends_a_study_of_ten(study: Maker, tmp_path: Path, sampler: str) -> None:
    counting = Counting()
    coordinator = study(trials=10, space=FOUR, search={"sampler": sampler})
    run_local(coordinator, None, counting)
    assert len(counting.trained) == len(set(counting.trained)) == 4
    assert coordinator.done
    assert coordinator.exhausted
    outcomes = [outcome(trial) for trial in stored(tmp_path / "run")]
    assert sum(name != "DUPLICATE" for name in outcomes) == 4
    assert all(trial.state.is_finished() for trial in stored(tmp_path / "run"))


def test_a_larger_study_of_a_finite_space_trains_it_all(study: Maker, tmp_path: Path) -> None:
    counting = Counting()
    large = {**FOUR, "norm": {"choices": ["BN", "IN", "none"], "per": "block"}}  # 3³·2 = 54
    coordinator = study(trials=54, space=large, search={"pruner": "none"})
    run_local(coordinator, None, counting)
    assert len(counting.trained) == len(set(counting.trained)) == 54
    assert not coordinator.exhausted


def test_a_repetition_has_the_curve_and_the_value_of_its_twin(study: Maker, tmp_path: Path) -> None:
    events: list[Event] = []
    settings = {"sampler": "random", "seed": 1, "pruner": "none"}
    run_local(study(trials=4, space=FOUR, search=settings, listener=events.append), None, trainer)
    trials = stored(tmp_path / "run")
    repeats = [trial for trial in trials if "duplicate_of" in trial.user_attrs]
    assert repeats
    for repeat in repeats:
        twin = trials[repeat.user_attrs["duplicate_of"]]
        assert twin.number < repeat.number
        assert repeat.params == twin.params
        assert (repeat.state, repeat.value) == (twin.state, twin.value)
        assert repeat.intermediate_values == twin.intermediate_values
        assert repeat.user_attrs["evaluation:9"] == twin.user_attrs["evaluation:9"]
    shown = [event for event in events if event.record.get("state") == "DUPLICATE"]
    assert [event.number for event in shown] == [trial.number for trial in repeats]
    twins = [trial.user_attrs["duplicate_of"] for trial in repeats]
    assert [event.record["reason"] for event in shown] == [
        f"the same choice as trial {twin}" for twin in twins
    ]


def test_a_repetition_of_a_pruned_trial_is_pruned(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=4, space=FOUR, search={"baselines": False, "sampler": "random"})
    job = coordinator.next_job()
    assert job is not None
    coordinator.report(0, record(job.config, 1))
    coordinator.finish(0, TrialState.PRUNED)
    first = stored(tmp_path / "run")[0]
    coordinator.enqueue([(first.params, {"source": "again"})])
    run_local(coordinator, None, trainer)
    again = stored(tmp_path / "run")[1]
    assert again.user_attrs["duplicate_of"] == 0
    assert again.state == TrialState.PRUNED
    assert again.intermediate_values == first.intermediate_values


def test_a_repetition_waits_for_a_twin_in_training(study: Maker, tmp_path: Path) -> None:
    """With all four in training a fifth cannot be; those that repeat are settled afterwards."""
    coordinator = study(trials=10, space=FOUR, search={"baselines": False, "sampler": "random"})
    jobs = []
    for _ in range(4):
        job = coordinator.next_job()
        assert job is not None
        jobs.append(job)
    assert coordinator.next_job() is None
    waiting = [t for t in stored(tmp_path / "run") if "duplicate_of" in t.user_attrs]
    assert waiting
    assert {trial.state for trial in waiting} == {TrialState.RUNNING}
    for job in jobs:
        for evaluation in range(1, EVALUATIONS + 1):
            coordinator.report(job.config.number, record(job.config, evaluation))
        coordinator.finish(job.config.number, TrialState.COMPLETE)
    assert not coordinator.done
    assert coordinator.next_job() is None
    assert coordinator.done
    trials = stored(tmp_path / "run")
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {outcome(trials[trial.number]) for trial in waiting} == {"DUPLICATE"}


def test_what_failed_by_no_fault_of_its_own_is_trained_again(study: Maker, tmp_path: Path) -> None:
    one = {**FOUR, "norm": {"choices": ["BN"]}, "batch_size": 2}
    coordinator = study(trials=1, space=one, search={"baselines": False})
    assert coordinator.next_job() is not None
    coordinator.finish(0, TrialState.FAIL, reason="4 workers died", fault=True)
    point = {"norm": {"*": "BN"}, "source": "again"}
    again = study(trials=1, space=one, search={"baselines": False, "points": [point]})
    trial = again._study.ask()  # as another driver may; the study itself asks for one alone
    job = again._start(trial._trial_id)
    assert job is not None
    assert job.config.number == 1


def test_an_endless_space_that_always_answers_alike_is_given_up() -> None:
    one, sampler = space("BN"), optuna.samplers.RandomSampler()
    fresh = Freshness(one, sampler, SingleNormTuning(one, SearchConfig(), sampler))
    for _ in range(109):
        fresh.note(repeated=True)
    assert not fresh.exhausted
    fresh.note(repeated=True)
    assert fresh.exhausted
    fresh.note(repeated=False)
    assert not fresh.exhausted
