"""A trial's resolved choice, and the names of the hyperparameters besides norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS, Required
from normsearch.config.study import OF_NETWORK, OF_TRAINING
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec

LABELS = ("arm", "seed", "fold")
"""The labels of a fixed training; None in a search."""


class Choice(Required):
    """One resolved choice: the effective spec of every slot, and its hyperparameters.

    None means not chosen: the value is that of the study's training or network.
    """

    norm_map: dict[str, str]
    arm: str | None = None
    seed: int | None = None
    fold: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """Return the choices besides the norms, and the labels of a fixed training."""
        return self.given((*HYPERPARAMETERS, *LABELS))

    def task(self, config: TaskConfig) -> TaskConfig:
        """Return the study's task with the fold to test on."""
        return config.model_copy(update={"test_folds": (self.fold,)} if self.fold else {})

    def network(self, config: NetworkConfig) -> NetworkConfig:
        """Return the study's network with the chosen values."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return config.model_copy(update={**self.given(OF_NETWORK), **seed})

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """Return the study's training with the chosen values."""
        names = () if self.seed is None else ("data_seed", "augmentation_seed")
        seeds = dict.fromkeys(names, self.seed)
        return config.changed({**self.overrides, **self.given(OF_TRAINING), **seeds})


def effective_map(globs: Mapping[str, str], slots: Sequence[NormSlot]) -> dict[str, str]:
    """Return the effective spec of every slot that a glob matches; the last match applies.

    Raises:
        NormError: a spec is unknown or infeasible for its slot.
    """
    found: dict[str, str] = {}
    for slot in slots:
        texts = [text for glob, text in globs.items() if fnmatchcase(slot.name, glob)]
        if texts:
            found[slot.name] = str(NormSpec.parse(texts[-1]).canonical(slot.channels))
    return found
