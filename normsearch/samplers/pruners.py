"""Pruners by name. Their resource is the number of the evaluation point."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)

from normsearch.config import PrunerConfig
from normsearch.config.search import PRUNERS
from normsearch.errors import ConfigError
from normsearch.networks.importing import load, users_code

_WHERE = "search.pruner"


def build_pruner(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return the pruner that `config` names, for trials of `evaluations` points.

    Raises:
        ConfigError: an import path names no class of Optuna pruners, or it refuses its arguments.
    """
    if config.name in PRUNERS:
        build: Callable[[PrunerConfig, int], BasePruner] = load(PRUNERS[config.name].path, _WHERE)
        return build(config, evaluations)
    kind = load(config.name, _WHERE)
    if not (isinstance(kind, type) and issubclass(kind, BasePruner)):
        raise ConfigError(
            f"{_WHERE}: must be a class of Optuna pruners, got {config.name} ({kind!r})."
        )
    refused = f"{_WHERE}.arguments: {config.name} refuses them"
    with users_code(refused), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return kind(**config.arguments)


def none(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return a pruner that stops no trial."""
    return NopPruner()


def median(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return Optuna's median pruner, which counts steps from 0; evaluation points count from 1."""
    first = config.warmup + 1
    return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=first)


def hyperband(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return Optuna's Hyperband pruner."""
    return HyperbandPruner(
        min_resource=config.min_resource,
        max_resource=evaluations,
        reduction_factor=config.reduction_factor,
    )


def patient(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return Optuna's patient pruner around `wrapped`."""
    wrapped = build_pruner(config.wrapped, evaluations) if config.wrapped else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(wrapped, patience=config.patience, min_delta=config.min_delta)


def successive_halving(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return Optuna's asynchronous successive halving pruner."""
    return SuccessiveHalvingPruner(
        min_resource=config.min_resource, reduction_factor=config.reduction_factor
    )
