"""The base of our samplers: parameters that a sampler does not suggest are drawn uniformly."""

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
