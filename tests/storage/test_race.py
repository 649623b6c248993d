"""The race at the end of a search, through the coordinator: what it trains, and kills in it."""

import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import TrialConfig
from normsearch.config.reading import read_trial
from normsearch.errors import TrainingError
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Job
from normsearch.search.local_executor import run_local
from normsearch.storage.trial_states import is_repeat
from tests.search import racer
from tests.search.racer import coordinator_of, trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]
RACE = {"race": 0.4, "pruner": "none"}


def trials_of(folder: Path) -> list[FrozenTrial]:
    return [trial for trial in stored(folder).trials if not is_repeat(trial)]


def replicates(trials: list[FrozenTrial]) -> list[tuple[int, int, int, int]]:
    names = ("race", "round", "replicate_of", "seed")
    found = [t.user_attrs for t in trials if "replicate_of" in t.user_attrs]
    return [tuple(one[name] for name in names) for one in found]  # type: ignore[misc]


def sizes(trials: list[FrozenTrial]) -> list[int]:
    """Return how many trials each round has, of all races one after the other."""
    rounds = [(race, number) for race, number, *_ in replicates(trials)]
    return [len(list(group)) for _, group in itertools.groupby(rounds)]


def decided(trials: list[FrozenTrial]) -> list[Any]:
    return [(t.params, t.value, t.user_attrs.get("replicate_of"), t.user_attrs.get("seed"))
            for t in trials]  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "share", "expected"),
    [
        (20, 0.4, [4, 2, 1, 1]),
        (16, 0.3, [3, 1, 1]),
        (12, 0.2, [1, 1]),
        (12, 0.04, []),
        (1, 0.8, []),
        (2, 0.8, [1]),
        (5, 0.8, [1, 1, 1, 1]),  # the search had one trial: it is all there is to race
    ],
)
def test_rounds_halve_what_is_left(
    trials: int, share: float, expected: list[int], study: Maker, tmp_path: Path
) -> None:
    run_local(study(trials, {**RACE, "race": share}), None, trainer)
    found = trials_of(tmp_path / "run")
    assert sizes(found) == expected
    begun = [trial for trial in found if trial.state != TrialState.WAITING]
    assert len(begun) == trials
    assert all(trial.state.is_finished() for trial in begun)


def test_a_replicate_differs_from_its_original_in_the_seed_alone(
    study: Maker, tmp_path: Path
) -> None:
    run_local(study(16, RACE), None, trainer)
    trials = trials_of(tmp_path / "run")
    seen: dict[int, int] = {}
    for trial in trials[-6:]:
        number, seed = trial.user_attrs["replicate_of"], trial.user_attrs["seed"]
        original = trials[number]
        assert trial.params == original.params
        assert trial.user_attrs["norm_map"] == original.user_attrs["norm_map"]
        assert trial.user_attrs["values"] == {**original.user_attrs["values"], "seed": seed}
        again, first = (
            read_trial(tmp_path / "run" / "trials" / f"{n:04d}" / "trial.json")
            for n in (trial.number, number)
        )
        for config, its in ((first, 0), (again, seed)):
            assert config.network.seed == its
            assert config.training.data_seed == its
            assert config.training.augmentation_seed == its
        assert seen.setdefault(trial.user_attrs["round"], seed) == seed  # one a round
    assert list(seen.values()) == [1, 2, 3, 4][: len(seen)]


def test_seeds_of_the_study_are_not_given_again(study: Maker, tmp_path: Path) -> None:
    coordinator = study(6, {**RACE, "race": 0.17})
    config = coordinator.config
    coordinator.close()
    network = config.network.model_copy(update={"seed": 2})
    training = config.training.model_copy(update={"data_seed": 0, "augmentation_seed": 1})
    folder = tmp_path / "other"
    folder.mkdir()
    other = Coordinator(
        folder,
        config.model_copy(update={"network": network, "training": training}),
        coordinator._space,
    )
    run_local(other, None, trainer)
    assert [seed for *_, seed in replicates(trials_of(folder))] == [3]


def test_the_best_single_norm_is_in_the_first_round(study: Maker, tmp_path: Path) -> None:
    def mixtures_win(
        config: TrialConfig, data: Any, folder: Path, token: str
    ) -> Iterator[dict[str, Any]]:
        single = len(set(config.norm_map.values())) == 1
        worth = {"none": 0.1, "BN": 0.2, "IN": 0.4, "GN-2": 0.3}
        for one in trainer(config, data, folder, token):
            first = worth[next(iter(config.norm_map.values()))]
            yield {**one, "score": first if single else 0.8 + 0.1 * one["score"]}

    run_local(study(20, {**RACE, "race": 0.3, "single_norms": 0.0}), None, mixtures_win)
    trials = trials_of(tmp_path / "run")
    first = [number for _, one, number, _ in replicates(trials) if one == 1]
    assert len(first) == 3
    assert [trials[n].user_attrs.get("single_norm") for n in first] == [None, None, "IN"]


def test_replicates_are_never_pruned(study: Maker, tmp_path: Path) -> None:
    def good_once(
        config: TrialConfig, data: Any, folder: Path, token: str
    ) -> Iterator[dict[str, Any]]:
        for one in trainer(config, data, folder, token):
            yield {**one, "score": one["score"] * (0.01 if config.network.seed else 1)}

    run_local(study(30, {"race": 0.3, "pruner": "median"}), None, good_once)
    trials = trials_of(tmp_path / "run")
    states = {trial.state for trial in trials if "replicate_of" in trial.user_attrs}
    assert states == {TrialState.COMPLETE}
    assert TrialState.PRUNED in {trial.state for trial in trials}


def test_failed_replicates_count_as_trials_and_lose(study: Maker, tmp_path: Path) -> None:
    def once(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
        if config.network.seed == 1 and config.number % 2:
            raise TrainingError("no number", kind="nan")
        yield from trainer(config, data, folder, token)

    run_local(study(20, RACE), None, once)
    trials = trials_of(tmp_path / "run")
    assert sizes(trials) == [4, 2, 1, 1]
    failed = {t.user_attrs["replicate_of"] for t in trials if t.state == TrialState.FAIL}
    assert len(failed) == 2
    assert not failed & {number for _, one, number, _ in replicates(trials) if one > 1}


def test_a_search_without_a_complete_trial_ends_without_a_race(
    study: Maker, tmp_path: Path
) -> None:
    def never(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
        raise TrainingError("no number", kind="nan")
        yield {}

    coordinator = study(10, RACE)
    run_local(coordinator, None, never)
    assert len(trials_of(tmp_path / "run")) == 6
    assert not coordinator.exhausted


@pytest.mark.parametrize("sampler", ["gp", "random"])
def test_an_exhausted_space_is_raced(sampler: str, study: Maker, tmp_path: Path) -> None:
    space = {"norm": {"choices": ["BN", "IN"], "per": "network"}, "learning_rate": 0.1,
             "batch_size": [2, 4]}  # fmt: skip
    coordinator = study(10, {**RACE, "sampler": sampler}, space)
    run_local(coordinator, None, trainer)
    trials = trials_of(tmp_path / "run")
    assert len(trials) == 4 + 4
    assert sizes(trials) == [2, 1, 1]
    assert coordinator.exhausted


def test_more_trials_are_searched_and_raced_afresh(study: Maker, tmp_path: Path) -> None:
    run_local(study(15, RACE), None, trainer)
    before = decided(trials_of(tmp_path / "run"))
    run_local(study(30, RACE), None, trainer)
    trials = trials_of(tmp_path / "run")
    assert len(trials) == 30
    assert decided(trials)[:15] == before
    assert [race for race, *_ in replicates(trials)] == [15] * 6 + [30] * 12
    assert sizes(trials) == [3, 2, 1, 6, 3, 2, 1]
    raced = replicates(trials)
    for number in {one for *_, one, _ in raced}:  # no seed twice for one configuration
        seeds = [seed for *_, one, seed in raced if one == number]
        assert len(seeds) == len(set(seeds))
    assert not any("replicate_of" in trial.user_attrs for trial in trials[15:18])


def test_one_more_trial_than_before_goes_to_the_race(study: Maker, tmp_path: Path) -> None:
    run_local(study(15, RACE), None, trainer)
    run_local(study(16, RACE), None, trainer)
    assert sizes(trials_of(tmp_path / "run")) == [3, 2, 1, 1]


def test_kills_in_the_race_change_nothing(tmp_path: Path) -> None:
    run_local(coordinator_of(tmp_path / "whole"), None, trainer)
    folder = tmp_path / "killed"
    for kill in (14, 45):  # in the second replicate of round 1, and in round 2
        driver = multiprocessing.get_context("fork").Process(target=racer.main, args=(folder, kill))
        driver.start()
        driver.join(timeout=600)
        assert driver.exitcode == -signal.SIGKILL
    run_local(coordinator_of(folder), None, trainer)
    trials = trials_of(folder)
    assert decided(trials) == decided(trials_of(tmp_path / "whole"))
    assert sizes(trials) == [4, 2, 1]
    assert sum(trial.user_attrs.get("resumes", 0) for trial in trials) == 2


def test_a_kill_between_two_entries_of_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_local(coordinator_of(tmp_path / "whole"), None, trainer)
    enqueue, entered = optuna.Study.enqueue_trial, []

    def mortal(self: optuna.Study, params: dict[str, Any], **given: Any) -> None:
        if "round" in given["user_attrs"]:
            if len(entered) == 2:
                raise KeyboardInterrupt
            entered.append(params)
        enqueue(self, params, **given)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", mortal)
    with pytest.raises(KeyboardInterrupt):
        run_local(coordinator_of(tmp_path / "killed"), None, trainer)
    monkeypatch.undo()
    assert sizes(trials_of(tmp_path / "killed")) == [2]
    run_local(coordinator_of(tmp_path / "killed"), None, trainer)
    trials = trials_of(tmp_path / "killed")
    assert sizes(trials) == [4, 2, 1]
    assert decided(trials) == decided(trials_of(tmp_path / "whole"))


def test_two_drivers_wait_for_each_others_rounds(study: Maker, tmp_path: Path) -> None:
    one, two = study(18, RACE), study(18, RACE)
    jobs: dict[Coordinator, tuple[Iterator[dict[str, Any]], Job]] = {}
    waited = 0
    while not (one.done and two.done):
        for driver in (one, two):
            if driver not in jobs:
                if job := driver.next_job():
                    jobs[driver] = trainer(job.config, None, job.folder, job.token), job
                else:
                    waited += bool(jobs)
        for driver, (records, job) in list(jobs.items()):
            entry = next(records)
            driver.report(job.config.number, entry)
            if entry["evaluation"] == job.config.training.evaluations:
                driver.finish(job.config.number, TrialState.COMPLETE)
                del jobs[driver]
    trials = trials_of(tmp_path / "run")
    assert len(trials) == 18
    assert sizes(trials) == [4, 2, 1]
    assert waited > 0  # the last round has one trial
    for earlier, later in itertools.pairwise(trials[-7:]):
        if later.user_attrs["round"] > earlier.user_attrs["round"]:
            assert earlier.datetime_complete is not None
            assert later.datetime_start is not None
            assert earlier.datetime_complete <= later.datetime_start
