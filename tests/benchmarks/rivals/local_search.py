"""Local search as an Optuna sampler: the best trial with one parameter changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from normsearch.samplers.evolution import fitness
from normsearch.samplers.independent import OneObjective


class LocalSearch(OneObjective):
    """Suggests an untried neighbour of the best trial; if there is none, of the second best.

    Neighbours differ in one categorical parameter. A trial that ran longer is better than one that
    was pruned before. The first trials are uniform draws.

    Args:
        startup: finished trials before the first neighbour.
        seed: of all draws.
    """

    def __init__(self, startup: int = 4, seed: int | None = None) -> None:
        super().__init__(seed)
        self._startup, self._rng = startup, np.random.default_rng(seed)
        self._space = IntersectionSearchSpace(include_pruned=True)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the categorical parameters that all finished trials share."""
        return categorical(self._space.calculate(study))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a neighbour's parameters; none at the beginning, or if all were tried."""
        trials = [other for other in study.get_trials(deepcopy=False) if other.params]
        ended = [
            other
            for other in trials
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED) and other.intermediate_values
        ]
        if len(ended) < self._startup or not search_space:
            return {}
        tried = {_key(other.params, search_space) for other in trials}
        for parent in sorted(ended, key=lambda other: fitness(study, other), reverse=True):
            neighbours = [
                {**{name: parent.params[name] for name in search_space}, name: value}
                for name, kind in search_space.items()
                if isinstance(kind, CategoricalDistribution)
                for value in kind.choices
            ]
            fresh = [params for params in neighbours if _key(params, search_space) not in tried]
            if fresh:
                return fresh[self._rng.integers(len(fresh))]
        return {}


def categorical(space: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Return the categorical parameters of a space that have several choices."""
    return {
        name: kind
        for name, kind in space.items()
        if isinstance(kind, CategoricalDistribution) and not kind.single()
    }


def _key(params: dict[str, Any], space: dict[str, BaseDistribution]) -> tuple[Any, ...]:
    return tuple(params.get(name) for name in space)
