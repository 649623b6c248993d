"""The bases of our samplers: parameters that a sampler does not suggest are drawn uniformly."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial


class UniformByDefault(BaseSampler):
    """Base of samplers: each parameter that is not suggested jointly is a uniform draw.

    Args:
        seed: seed of the draws.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._uniform = RandomSampler(seed=seed)

    def reseed_rng(self) -> None:
        """Start a new random sequence, as Optuna requires of samplers in several processes."""
        self._uniform.reseed_rng()

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a uniform draw."""
        return self._uniform.sample_independent(study, trial, param_name, param_distribution)


class OneObjective(UniformByDefault):
    """Base of samplers that learn from one score; a study of several objectives is refused.

    Args:
        seed: seed of the draws.
    """

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a uniform draw.

        Raises:
            ValueError: the study has several objectives.
        """
        self._check(study)
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _check(self, study: Study) -> None:
        if (count := len(study.directions)) > 1:
            raise ValueError(
                f"{type(self).__name__}: the study must have one objective, got {count}; take "
                "Optuna's TPESampler or NSGAIISampler."
            )
