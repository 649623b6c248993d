"""A space in Python, defined by a function of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from normsearch.config import Point, PythonSpaceConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.config.reading import validate
from normsearch.errors import ConfigError, NormError, sentence
from normsearch.networks import NormSlot
from normsearch.networks.importing import load, users_code
from normsearch.space.choice import Choice, effective_map
from normsearch.space.interface import WithoutBaselines


class PythonSpace(WithoutBaselines):
    """The space of ``module:function``: function(trial, slots) returns the choice.

    The function gets an `optuna.trial.Trial` and the slots (`normsearch.networks.NormSlot`), and
    returns a mapping: ``norm`` (a norm map by globs that covers every slot), ``learning_rate``,
    ``batch_size``, and optionally weight_decay, gate_learning_rate_factor, affine, activation and
    gradient_clipping. It must return the same choice for the same suggestions. It is called once to
    check it.

    Raises:
        ConfigError: it cannot be imported or called, or does not return a complete choice.
    """

    endless = "a space in Python"
    size = None

    def __init__(self, config: PythonSpaceConfig, slots: Sequence[NormSlot], origin: str) -> None:
        self.slots, self._where = tuple(slots), f"{origin}function"
        self._ask = load(config.function, self._where)
        if not callable(self._ask):
            raise ConfigError(f"{self._where}: must be a function, got {self._ask!r}.")
        self.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())

    def suggest(self, trial: optuna.Trial) -> Choice:
        """Return the function's choice for `trial`.

        Raises:
            ConfigError: the function does not return a complete choice.
        """
        with users_code(f"{self._where}: must return a choice, and raises"):
            answer = self._ask(trial, self.slots)
        if isinstance(answer, Choice):
            return answer
        point = validate(Point, answer, f"{self._where}: must return a choice")
        try:
            norm_map = effective_map(point.norm, self.slots)
        except NormError as error:
            raise ConfigError(f"{self._where}: must return a choice: {sentence(error)}") from error
        given = point.given(HYPERPARAMETERS)
        needed = {name for name, one in Choice.model_fields.items() if one.is_required()}
        missing = [slot.name for slot in self.slots if slot.name not in norm_map]
        missing += [name for name in HYPERPARAMETERS if name in needed and name not in given]
        if missing:
            raise ConfigError(
                f"{self._where}: must return a complete choice, and {missing[0]} is missing."
            )
        return Choice(norm_map=norm_map, **given)

    def parameters(self, point: Point) -> dict[str, Any]:
        """Raise ConfigError: only the function knows its parameters."""
        raise ConfigError(
            f"{point.source}: known configurations need a space in YAML, got one in Python "
            f"({self._where})."
        )

    def unseen(self, past: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
        """Return None: the configurations of a function have no order."""
        return None
