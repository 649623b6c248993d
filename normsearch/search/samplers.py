"""Samplers and pruners by the names a study uses."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from normsearch.config import PrunerConfig

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


def build_pruner(config: PrunerConfig) -> BasePruner:
    """Return the pruner that `config` names; its resource is the number of the evaluation point."""
    if config.name == "none":
        return NopPruner()
    return SuccessiveHalvingPruner(
        min_resource=config.min_resource, reduction_factor=config.reduction_factor
    )
