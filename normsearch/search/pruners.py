"""Pruners by the names a study uses. Their resource is the number of the evaluation point."""

from __future__ import annotations

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
        return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup)
    if config.name == "hyperband":
        return HyperbandPruner(
            min_resource=config.min_resource,
            max_resource=evaluations,
            reduction_factor=config.reduction_factor,
        )
    if config.name == "patient":
        wrapped = build_pruner(config.wrapped, evaluations) if config.wrapped else None
        return PatientPruner(wrapped, patience=config.patience, min_delta=config.min_delta)
    return SuccessiveHalvingPruner(
        min_resource=config.min_resource, reduction_factor=config.reduction_factor
    )
