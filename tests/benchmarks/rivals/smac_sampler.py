"""SMAC3 as an Optuna sampler, so that it gets the baselines, pruner and repeats that ours gets."""

from __future__ import annotations

import logging
import tempfile
from typing import Any

from ConfigSpace import Categorical, Configuration, ConfigurationSpace
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState
from smac.facade import HyperparameterOptimizationFacade as Facade
from smac.runhistory.dataclasses import TrialInfo, TrialValue
from smac.scenario import Scenario

from normsearch.samplers.independent import OneObjective
from tests.benchmarks.rivals.local_search import categorical

_DESIGN = 4  # configurations of SMAC's initial design, besides the baselines


class Smac(OneObjective):
    """SMAC3's facade for hyperparameters (random forest and log EI), by ask and tell.

    It hears of every finished trial: of a pruned one the last score, as Ray Tune's searchers do; a
    failed one counts as 0. Scores are from 0 to 1 and maximized.

    Args:
        seed: of all draws.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self._seed = seed or 0
        self._space = IntersectionSearchSpace(include_pruned=True)
        self._smac: Any = None
        self._asked: dict[int, TrialInfo] = {}
        self._unheard: list[tuple[FrozenTrial, float]] = []

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the categorical parameters that all finished trials share."""
        return categorical(self._space.calculate(study))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next configuration of SMAC; none before the first trial is finished."""
        if not search_space:
            return {}
        if self._smac is None:
            self._start(search_space)
        for ended, score in self._unheard:
            self._tell(ended, score)
        self._unheard.clear()
        self._asked[trial.number] = info = self._smac.ask()
        return {name: str(info.config[name]) for name in search_space}

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Keep a finished trial until the next suggestion."""
        heard = trial.intermediate_values
        score = heard[max(heard)] if heard and state != TrialState.FAIL else 0.0
        self._unheard.append((trial, score))

    def _start(self, space: dict[str, BaseDistribution]) -> None:
        self._configurations = ConfigurationSpace(seed=self._seed)
        self._configurations.add(
            [
                Categorical(name, list(kind.choices))
                for name, kind in space.items()
                if isinstance(kind, CategoricalDistribution)
            ]
        )
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            self._configurations,
            deterministic=True,
            n_trials=1_000_000,
            seed=self._seed,
            output_directory=self._folder.name,
        )
        design = Facade.get_initial_design(scenario, n_configs=_DESIGN)
        self._smac = Facade(
            scenario, _nothing, initial_design=design, overwrite=True, logging_level=logging.ERROR
        )

    def _tell(self, trial: FrozenTrial, score: float) -> None:
        info = self._asked.pop(trial.number, None)
        if info is None:
            values = {name: trial.params[name] for name in self._configurations}
            info = TrialInfo(Configuration(self._configurations, values), seed=0)
        self._smac.tell(info, TrialValue(cost=1 - score), save=False)


def _nothing(config: Configuration, seed: int = 0) -> float:
    raise NotImplementedError("SMAC is asked and told; it does not train")
