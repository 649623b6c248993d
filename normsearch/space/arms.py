"""The space of a study of arms: every arm with every seed on every fold, each trained once."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from normsearch.config import ArmsConfig, Point
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.errors import ConfigError, NormError, sentence
from normsearch.networks import NormSlot
from normsearch.space.choice import Choice, effective_map
from normsearch.space.interface import WithoutBaselines


class ArmsSpace(WithoutBaselines):
    """The fixed trainings of `ArmsConfig` on a network's slots, as a space for the coordinator.

    Args:
        config: arms, seeds and folds.
        slots: the network's slots, in order of depth.
        origin: prefix of the space's keys in messages.

    Raises:
        ConfigError: an arm's norm does not fit a slot, or leaves one without.
    """

    endless = None

    def __init__(self, config: ArmsConfig, slots: Sequence[NormSlot], origin: str) -> None:
        self.config, self.slots = config, tuple(slots)
        self._due: Callable[[], Sequence[Mapping[str, Any]]] | None = None
        self._arms = {arm.name: arm for arm in config.arms}
        self._maps: dict[str, dict[str, str]] = {}
        for index, arm in enumerate(config.arms):
            where = f"{origin}arms[{index}].norm"
            try:
                found = effective_map(arm.norm, self.slots)
            except NormError as error:
                raise ConfigError(f"{where}: {sentence(error)}") from error
            missing = [slot.name for slot in self.slots if slot.name not in found]
            if missing:
                raise ConfigError(
                    f"{where}: must give every slot a norm, and {missing[0]} has none; "
                    'start with {"*": ...}.'
                )
            self._maps[arm.name] = found

    def due_by(self, due: Callable[[], Sequence[Mapping[str, Any]]]) -> Self:
        """Return this space with only those trainings, of which there may be more at each call."""
        found = copy.copy(self)
        found._due = due
        return found

    @property
    def size(self) -> int:
        """The number of trainings that are due."""
        return len(self._due()) if self._due else self.config.size

    def suggest(self, trial: Any) -> Choice:
        """Suggest an arm, a seed and, if there are several, a fold."""
        answers = {
            name: trial.suggest_categorical(name, list(values))
            for name, values in self._choices().items()
        }
        arm = self._arms[answers["arm"]]
        return Choice(
            norm_map=self._maps[arm.name],
            **arm.given(HYPERPARAMETERS),
            **answers,
            overrides=arm.training,
        )

    def parameters(self, point: Point) -> dict[str, Any]:
        """Raise ConfigError: only the listed arms are trained."""
        raise ConfigError(f"{point.source}: a space of arms takes no further points; add an arm.")

    def unseen(self, past: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
        """Return the first training not in `past`, from number `start` on, cyclically."""
        every = [dict(params) for params in self._due()] if self._due else self._all()
        if not every:
            return None
        begun = [dict(params) for params in past]
        turned = every[start % len(every) :] + every[: start % len(every)]
        return next((params for params in turned if params not in begun), None)

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        folds = {"fold": self.config.folds} if self.config.folds else {}
        return {**folds, "seed": self.config.seeds, "arm": tuple(self._arms)}

    def _all(self) -> list[dict[str, Any]]:
        """Return all trainings; the arms of one seed are adjacent, so that a part can be judged."""
        choices = self._choices()
        every = itertools.product(*choices.values())
        return [dict(zip(choices, values, strict=True)) for values in every]
