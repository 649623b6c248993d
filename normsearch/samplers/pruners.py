"""Pruners by the names a study uses. Their resource is the number of the evaluation point."""

from __future__ import annotations

import warnings

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


def build_pruner(config: PrunerConfig, evaluations: int) -> BasePruner:
    """Return the pruner that `config` names, for trials of `evaluations` points."""
    if config.name == "none":
        return NopPruner()
    if config.name == "median":
        # Optuna counts steps from 0, and we points from 1.
        first = config.warmup + 1
        return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=first)
    if config.name == "hyperband":
        return HyperbandPruner(
            min_resource=config.min_resource,
            max_resource=evaluations,
            reduction_factor=config.reduction_factor,
        )
    if config.name == "patient":
        wrapped = build_pruner(config.wrapped, evaluations) if config.wrapped else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return PatientPruner(wrapped, patience=config.patience, min_delta=config.min_delta)
    return SuccessiveHalvingPruner(
        min_resource=config.min_resource, reduction_factor=config.reduction_factor
    )
