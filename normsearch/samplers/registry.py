"""Samplers by name, or any Optuna sampler by import path."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from optuna import Trial
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler

from normsearch.config import SearchConfig
from normsearch.config.search import SAMPLERS
from normsearch.errors import ConfigError, did_you_mean
from normsearch.networks.importing import load, users_code
from normsearch.samplers.fixed import FixedParametersSampler, GridSampler
from normsearch.samplers.independent import OneObjective, UniformByDefault
from normsearch.space.imports import load_hub
from normsearch.space.interface import AnySpace

genetic = partial(NSGAIISampler, population_size=20)
_HUB = "optunahub:"

Drawn = Literal["uniform", "grid", "given", "adaptive"]
"""How the choices of a trial were made, see `how_drawn`."""


def build_sampler(config: SearchConfig, space: AnySpace, seed: int) -> BaseSampler:
    """Return the sampler that `config` names.

    Its constructor gets `sampler_arguments`, and `seed` if it has this argument.

    Raises:
        ConfigError: there is no such sampler, it does not have these arguments, it is grid and the
            space has a range, or it is of one objective and the search has several.
    """
    name, where = config.sampler, "search.sampler"
    if name == "grid":
        if endless := space.endless:
            raise ConfigError(
                f"search.sampler: grid needs choices for everything, and {endless} has none that "
                "can be counted; list its values, or choose tpe."
            )
        return _make(partial(GridSampler, space), name, config.sampler_arguments, seed)
    if name in SAMPLERS:
        return _make(load(SAMPLERS[name].path, where), name, config.sampler_arguments, seed)
    kind = load_hub(name.removeprefix(_HUB), where) if name.startswith(_HUB) else load(name, where)
    if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
        raise ConfigError(f"{where}: must be a class of Optuna samplers, got {name} ({kind!r}).")
    if issubclass(kind, OneObjective) and len(config.objectives) > 1:
        raise ConfigError(
            f"{where}: must support several objectives ({', '.join(config.objectives)}), as "
            f"genetic and tpe do, got {name}."
        )
    return _make(kind, name, config.sampler_arguments, seed)


def how_drawn(sampler: BaseSampler, trial: Trial) -> Drawn:
    """Return how the choices of a trial were made; call it right after they were suggested.

    ``uniform``: at random and independent of scores, as the first trials of gp and of the
    evolutionary samplers are; ``grid``: in order; ``given``: enqueued (a default or an initial
    trial), or chosen by the tuning of single norms; ``adaptive``: dependent on the scores of other
    trials. Samplers that do not reveal this, such as tpe and genetic, count as adaptive from the
    first trial on.
    """
    if trial._fixed_params:
        return "given"
    if isinstance(sampler, FixedParametersSampler):
        return "grid" if isinstance(sampler, GridSampler) else "given"
    if isinstance(sampler, RandomSampler | QMCSampler):
        return "uniform"
    if isinstance(sampler, UniformByDefault) and not trial.relative_params:
        return "uniform"
    return "adaptive"


def _make(
    build: Callable[..., BaseSampler], name: str, arguments: dict[str, Any], seed: int
) -> BaseSampler:
    known = [
        parameter.name
        for parameter in inspect.signature(build).parameters.values()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    for argument in arguments:
        if argument not in known:
            raise ConfigError(
                f"search.sampler_arguments: {name} takes {', '.join(known) or 'none'}, "
                f"got {argument!r}.{did_you_mean(argument, known)}"
            )
    seeds = {"seed": seed} if "seed" in known else {}
    with users_code(f"search.sampler_arguments: {name} refuses them"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return build(**{**seeds, **arguments})
