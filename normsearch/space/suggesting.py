"""Norm maps for Optuna loops outside of normsearch."""

from __future__ import annotations

from typing import Any

import optuna
from torch import nn

from normsearch.config import SpaceConfig
from normsearch.config.reading import Part, keys_of, read_space, validate
from normsearch.networks import list_norms
from normsearch.space.layered import Space


def suggest_norms(
    trial: optuna.trial.BaseTrial, network: nn.Module, space: Part = "per_layer"
) -> dict[str, str]:
    """Suggest the norm of each slot of a network with an Optuna trial.

    Args:
        trial: a trial of your own study; its parameters are ``norm.UNIT`` of each unit.
        network: any module with norm slots; it is not changed, see `apply_norm_map`.
        space: the name of a space file, or its keys; only its norms are used.

    Returns:
        Slot -> norm spec.

    Raises:
        ConfigError: there is no such space, or a norm in it fits no slot.
    """
    raw: Any = read_space(keys_of(space))
    config = validate(SpaceConfig, raw, "space")
    return Space(config, list_norms(network), "space.").suggest_norms(trial)
