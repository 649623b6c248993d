"""A sampler that goes through every configuration of a finite space once, in order."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from normsearch.samplers.independent import UniformByDefault
from normsearch.space.layered import AnySpace


class FixedParametersSampler(UniformByDefault):
    """Answers with given parameters, and by uniform draws what they leave open."""

    def __init__(self, parameters: dict[str, Any] | None = None, seed: int | None = None) -> None:
        super().__init__(seed)
        self._parameters = parameters or {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: every parameter is answered by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: every parameter is answered by itself."""
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
    """The configurations of `space` in order, without those that a trial of the study has.

    Two drivers that ask at the same moment may get the same one; the second is then answered from
    the first's record, as every repetition is.
    """

    def __init__(self, space: AnySpace, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self._space = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Choose the next configuration; its parameters are answered one by one."""
        others = [past for past in study.get_trials(deepcopy=False) if past.number != trial.number]
        self._parameters = self._space.unseen([past.params for past in others]) or {}
        return {}
