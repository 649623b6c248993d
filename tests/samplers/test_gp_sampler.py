"""What the gp sampler learns, from which trials, and what it never does."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from normsearch.samplers.gp_coding import Array
from normsearch.samplers.gp_kernel import Points
from normsearch.samplers.gp_model import Process
from normsearch.samplers.gp_sampler import GaussianProcessSampler
from normsearch.samplers.unread import Unread

NORMS = ("none", "BN", "IN", "LN", "SN")
WORTH = np.random.default_rng(7).normal(size=(6, 5))


def height(trial: optuna.Trial) -> float:
    """Six slots of five norms add what each is worth; a learning rate has its best at 0.1."""
    picks = [trial.suggest_categorical(f"slot{i}", NORMS) for i in range(6)]
    rate = trial.suggest_float("rate", 0.001, 1.0, log=True)
    worth = sum(WORTH[i, NORMS.index(pick)] for i, pick in enumerate(picks))
    return float(worth - 2 * (math.log10(rate) + 1) ** 2)


def study_of(sampler: BaseSampler, direction: str = "maximize") -> optuna.Study:
    return optuna.create_study(direction=direction, sampler=sampler)


def test_it_finds_far_more_than_random_draws() -> None:
    best = {}
    for kind in (GaussianProcessSampler, RandomSampler):
        best[kind] = []
        for seed in range(5):
            study = study_of(kind(seed=seed))
            study.optimize(height, n_trials=60)
            best[kind].append(WORTH.max(axis=1).sum() - study.best_value)
    assert np.median(best[GaussianProcessSampler]) < 0.3 * np.median(best[RandomSampler])


def test_proposals_are_those_of_the_written_out_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def params() -> list[dict[str, Any]]:
        study = study_of(GaussianProcessSampler(seed=2))
        study.optimize(height, n_trials=30)
        return [trial.params for trial in study.trials]

    def plain(self: Process, points: Points) -> tuple[Array, Array]:
        parts = self._kernel.unweighted(self._points, points)
        across = self._kernel.between(self._points, points, self._weights, parts)
        inverse = np.linalg.inv(self._cholesky @ self._cholesky.T)
        known = (across * (inverse @ across)).sum(axis=0)
        rest = np.maximum(self._kernel.variances(points) - known, 1e-9)
        scale = self._square / (len(self._targets) + 2)
        return across.T @ inverse @ self._targets, np.sqrt(scale * rest)

    found = params()
    monkeypatch.setattr(Process, "at", plain)
    assert params() == found


def test_it_minimizes_where_the_study_does() -> None:
    found = {}
    for direction, sign in (("maximize", 1), ("minimize", -1)):
        study = study_of(GaussianProcessSampler(seed=0), direction)
        study.optimize(lambda trial, sign=sign: sign * height(trial), n_trials=25)
        found[direction] = [trial.params for trial in study.trials]
    assert found["maximize"] == found["minimize"]


def test_first_draws_are_those_of_the_random_sampler() -> None:
    draws = []
    for sampler in (GaussianProcessSampler(seed=3, startup=5), RandomSampler(seed=3)):
        study = study_of(sampler)
        study.optimize(height, n_trials=6)
        draws.append([trial.params for trial in study.trials])
    assert draws[0][:5] == draws[1][:5]
    assert draws[0][5] != draws[1][5]


def test_every_choice_comes_once_then_it_repeats() -> None:
    study = study_of(GaussianProcessSampler(seed=0, startup=2))

    def pick(trial: optuna.Trial) -> float:
        return len(trial.suggest_categorical("a", NORMS) + trial.suggest_categorical("b", NORMS))

    study.optimize(pick, n_trials=27)
    seen = [tuple(trial.params.values()) for trial in study.trials]
    assert set(seen[2:25]) | set(seen[:2]) == set(itertools.product(NORMS, repeat=2))


def test_what_is_running_is_not_suggested_again() -> None:
    study = study_of(GaussianProcessSampler(seed=0, startup=3))
    study.optimize(lambda trial: len(trial.suggest_categorical("a", NORMS)), n_trials=3)
    running = []
    for _ in range(5 - len({trial.params["a"] for trial in study.trials})):
        running.append(study.ask().suggest_categorical("a", NORMS))
    assert len({*running, *(t.params["a"] for t in study.trials)}) == 5


def test_many_workers_do_not_all_try_the_same() -> None:
    """Of 3 x 16 suggestions at once, 14 had different norms where running trials were ignored."""
    different = 0
    for seed in range(3):
        study = study_of(GaussianProcessSampler(seed=seed))
        study.optimize(height, n_trials=40)
        trials = [study.ask() for _ in range(16)]
        for trial in trials:
            height(trial)
        different += len({tuple(trial.params[f"slot{i}"] for i in range(6)) for trial in trials})
    assert different > 20


@pytest.mark.parametrize("kind", ["failed", "too large"])
def test_what_failed_is_avoided(kind: str) -> None:
    """All that holds BN fails; of 20 more suggestions few hold it."""
    study = study_of(GaussianProcessSampler(seed=1))
    later = []
    for number in range(50):
        trial = study.ask()
        picks = [trial.suggest_categorical(f"slot{i}", NORMS) for i in range(4)]
        later += ["BN" in picks] if number >= 30 else []
        if "BN" in picks and kind == "failed":
            study.tell(trial, state=TrialState.FAIL)
        elif "BN" in picks:
            trial.set_constraint("memory", 1.0)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, 0.1 * picks.count("SN"))
    assert sum(later) <= 4  # of random draws 20 x (1 - 0.8 ** 4) = 12 would


def test_pruned_trials_teach() -> None:
    """Five of six trials stop half way, and their curves still lead to the best."""
    study = study_of(GaussianProcessSampler(seed=0))
    best = -math.inf
    for number in range(80):
        trial = study.ask()
        value = height(trial)
        best = max(best, value)
        trial.report(value / 2, 1)
        if number % 6:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.report(value, 2)
            study.tell(trial, value)
    assert WORTH.max(axis=1).sum() - best < 0.8


class Touched(list[FrozenTrial]):
    """Counts the trials that are taken out of it."""

    count = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.count += len(found) if isinstance(place, slice) else 1
        return found


def test_trials_that_were_read_are_not_looked_at_again() -> None:
    study = study_of(RandomSampler(seed=0))
    study.optimize(height, n_trials=200)
    study.ask()  # still running
    study.optimize(height, n_trials=20)
    trials, unread = Touched(study.get_trials(deepcopy=False)), Unread()
    assert [trial.number for trial in unread.of(trials)] == list(range(221))
    assert [trial.number for trial in unread.finished(trials)] == [*range(200), *range(201, 221)]
    trials.count = 0
    assert [trial.number for trial in unread.of(trials)] == [200]
    assert trials.count < 21 + 10  # the running one, those after it, and a binary search
    study.tell(200, 0.5)
    trials = Touched(study.get_trials(deepcopy=False))
    assert [trial.number for trial in unread.finished(trials)] == [200]
    trials.count = 0
    assert unread.of(trials) == []
    assert trials.count < 10


@pytest.mark.parametrize("count", [3000])
def test_many_trials_are_read_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(GaussianProcessSampler(seed=0))
    rng = np.random.default_rng(0)
    distributions = {
        f"slot{i}": optuna.distributions.CategoricalDistribution(NORMS) for i in range(4)
    }
    study.add_trials(
        create_trial(
            params={name: str(rng.choice(NORMS)) for name in distributions},
            distributions=distributions,
            value=float(rng.random()),
        )
        for _ in range(count)
    )
    reads: list[int] = []
    finish: Callable[..., Any] = GaussianProcessSampler._finish

    def counted(self: GaussianProcessSampler, trial: Any, sign: int) -> Any:
        reads.append(trial.number)
        return finish(self, trial, sign)

    monkeypatch.setattr(GaussianProcessSampler, "_finish", counted)
    for _ in range(3):
        trial = study.ask()
        for name in distributions:
            trial.suggest_categorical(name, NORMS)
        study.tell(trial, 0.5)
    assert sorted(reads) == list(range(count + 2))
