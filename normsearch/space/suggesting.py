"""Norm maps for Optuna loops outside of normsearch."""

from __future__ import annotations

from typing import Any

import optuna
from torch import nn

from normsearch.config import SpaceConfig
from normsearch.config.reading import Part, keys_of, read_space, validate
from normsearch.errors import ConfigError, one_line, short
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
        ConfigError: there is no such space, a norm in it fits no slot, the network has no slots, or
            the trial's study has other choices for a parameter.
    """
    for name, value, kind in (
        ("trial", trial, optuna.trial.BaseTrial), ("network", network, nn.Module)
    ):  # fmt: skip
        if not isinstance(value, kind):
            raise ConfigError(
                f"suggest_norms: {name} must be of the class {kind.__name__}, got {short(value)}."
            )
    if not (slots := list_norms(network)):
        raise ConfigError(
            f"suggest_norms: network must have norm slots, and {type(network).__name__} has none; "
            "see docs/network.md for the layers that are slots."
        )
    raw: Any = read_space(keys_of(space))
    config = validate(SpaceConfig, raw, "space")
    suggested = Space(config, slots, "space.")
    try:
        return suggested.suggest_norms(trial)
    except ValueError as error:  # Optuna's, of a parameter that has other choices
        raise ConfigError(
            "suggest_norms: the trial's study must hold only choices of this space, and Optuna "
            f"says: {one_line(error)}; use a new study, or the values of space.norm.choices."
        ) from error
