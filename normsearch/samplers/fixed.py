"""Samplers of given parameters, and of every configuration of a finite space in order."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from normsearch.samplers.independent import UniformByDefault
from normsearch.space.interface import AnySpace


class FixedParametersSampler(UniformByDefault):
    """Suggests given parameters, and uniform draws for the others."""

    def __init__(self, parameters: dict[str, Any] | None = None, seed: int | None = None) -> None:
        super().__init__(seed)
        self._parameters = parameters or {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: every parameter is suggested independently."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: every parameter is suggested independently."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the parameter's given value, else a uniform draw."""
        if param_name in self._parameters:
            return self._parameters[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


class GridSampler(FixedParametersSampler):
    """Suggests the configurations of `space` in order, except those that the study has.

    Two drivers may get the same configuration at the same time; the second trial is then a
    duplicate, answered from the first one's record.
    """

    def __init__(self, space: AnySpace, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self._space = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Choose the next configuration; its parameters are suggested independently."""
        others = [past for past in study.get_trials(deepcopy=False) if past.number != trial.number]
        self._parameters = self._space.unseen([past.params for past in others]) or {}
        return {}
