"""Evolutionary samplers: one-point genetic search as in evoNMS, and regularized evolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from normsearch.samplers.independent import OneObjective

_Params = dict[str, Any]
_Space = dict[str, BaseDistribution]
_Trials = list[FrozenTrial]


class _Evolutionary(OneObjective):
    """Children of finished trials; uniform draws until there is a first generation."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self._random = np.random.default_rng(seed)
        self._space = IntersectionSearchSpace(include_pruned=True)

    def reseed_rng(self) -> None:
        """Start a new random sequence, as Optuna requires of samplers in several processes."""
        super().reseed_rng()
        self._random = np.random.default_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> _Space:
        """Return the parameters that all finished trials share."""
        return self._space.calculate(study)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: _Space) -> _Params:
        """Return a child's parameters, or none while the first generation is drawn.

        Raises:
            ValueError: the study has several objectives.
        """
        self._check(study)
        if not search_space:
            return {}
        finished = [
            past
            for past in study.get_trials(deepcopy=False)
            if past.state in (TrialState.COMPLETE, TrialState.PRUNED)
            and (past.intermediate_values or past.constraints)
        ]
        return self._child(study, trial, finished, search_space)

    def _child(self, study: Study, trial: FrozenTrial, past: _Trials, space: _Space) -> _Params:
        raise NotImplementedError

    def _tournament(self, study: Study, among: _Trials, size: int) -> FrozenTrial:
        picks = self._random.choice(len(among), size=min(size, len(among)), replace=False)
        return max((among[int(pick)] for pick in picks), key=lambda trial: fitness(study, trial))

    def _mutated(
        self, study: Study, trial: FrozenTrial, name: str, kind: BaseDistribution, value: Any
    ) -> Any:
        """Return a value other than `value`, if there is one."""
        if isinstance(kind, CategoricalDistribution) and len(kind.choices) > 1:
            others = [choice for choice in kind.choices if choice != value]
            return others[self._random.integers(len(others))]
        return self._uniform.sample_independent(study, trial, name, kind)


class AgeingEvolution(_Evolutionary):
    """Regularized evolution (Real et al., AAAI 2019): the best of a sample mutates, the oldest die.

    The population consists of the `population` trials that finished last. The fittest of
    `tournament` of them, drawn at random, is copied with one parameter changed. It is asynchronous,
    so it suits many workers. Pruned trials count: see `fitness`.

    Args:
        population: size of the population, and number of initial uniform draws.
        tournament: number of trials that a parent is the best of.
        seed: seed of the draws.
    """

    def __init__(self, population: int = 20, tournament: int = 5, seed: int | None = None) -> None:
        super().__init__(seed)
        if not 1 <= tournament <= population:
            raise ValueError(f"tournament must be from 1 to population ({population})")
        self._population, self._size = population, tournament

    def _child(self, study: Study, trial: FrozenTrial, past: _Trials, space: _Space) -> _Params:
        if len(past) < self._population:
            return {}
        by_age = sorted(past, key=lambda trial: (_end(trial), trial.number))
        parent = self._tournament(study, by_age[-self._population :], self._size)
        child = {name: parent.params[name] for name in space}
        free = [name for name, kind in space.items() if not kind.single()]
        if free:
            name = free[self._random.integers(len(free))]
            child[name] = self._mutated(study, trial, name, space[name], child[name])
        return child


class OnePointGenetic(_Evolutionary):
    """A generational genetic search in the setting of evoNMS (MICCAI 2023).

    Generation g consists of the finished trials g·population to (g+1)·population − 1, by number.
    Each parent is the fitter of two draws from the previous generation. A child is cut at one point
    in the order of the parameters, and each parameter changes with probability `mutation`. The
    paper ran 20 generations of 20 without pruning.

    Args:
        population: trials a generation.
        mutation: probability that a parameter changes.
        seed: seed of the draws.
    """

    def __init__(
        self, population: int = 20, mutation: float = 0.1, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if population < 2 or not 0 <= mutation <= 1:
            raise ValueError("population must be 2 or more, and mutation from 0 to 1")
        self._population, self._mutation = population, mutation

    def _child(self, study: Study, trial: FrozenTrial, past: _Trials, space: _Space) -> _Params:
        generation = len(past) // self._population
        if generation == 0:
            return {}
        first = (generation - 1) * self._population
        parents = sorted(past, key=lambda trial: trial.number)
        parents = parents[first : first + self._population]
        mother, father = (self._tournament(study, parents, 2) for _ in range(2))
        cut = int(self._random.integers(1, max(2, len(space))))
        child = {}
        # In the trial the parameters are in order of depth; in the space they are alphabetic.
        for index, name in enumerate(name for name in mother.params if name in space):
            kind = space[name]
            value = (mother if index < cut else father).params[name]
            changes = not kind.single() and self._random.random() < self._mutation
            child[name] = self._mutated(study, trial, name, kind, value) if changes else value
        return child


def fitness(study: Study, trial: FrozenTrial) -> tuple[int, float]:
    """Return the key that trials are compared by: the evaluation point reached, then the value.

    A pruned trial ranks below all that ran longer, as in Optuna's TPE. A trial that needs too much
    memory, or exceeds a constraint, ranks below all.
    """
    if any(value > 0 for value in trial.constraints.values()):
        return -1, 0.0
    step = max(trial.intermediate_values)
    value = trial.intermediate_values[step]
    if math.isnan(value):
        return step, -math.inf
    return step, value if study.direction == StudyDirection.MAXIMIZE else -value


def _end(trial: FrozenTrial) -> float:
    return trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf
