"""One resolved choice of a trial, and the names of what there is to choose beside norms."""

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
"""Which of a study's fixed trainings a trial is; None in a search."""


class Choice(Required):
    """One resolved choice: the effective spec of every slot, and its hyperparameters.

    What is None was not asked: the study's training or network says it.
    """

    norm_map: dict[str, str]
    arm: str | None = None
    seed: int | None = None
    fold: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """What was chosen beside the norms, and which training of an arm it is."""
        return self.given((*HYPERPARAMETERS, *LABELS))

    def task(self, config: TaskConfig) -> TaskConfig:
        """Return the study's task with the fold to test on."""
        return config.model_copy(update={"test_folds": (self.fold,)} if self.fold else {})

    def network(self, config: NetworkConfig) -> NetworkConfig:
        """Return the study's network with what was chosen for it."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return config.model_copy(update={**self.given(OF_NETWORK), **seed})

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """Return the study's training with what was chosen for it."""
        names = () if self.seed is None else ("data_seed", "augmentation_seed")
        seeds = dict.fromkeys(names, self.seed)
        return config.changed({**self.overrides, **self.given(OF_TRAINING), **seeds})


def effective_map(globs: Mapping[str, str], slots: Sequence[NormSlot]) -> dict[str, str]:
    """Return the effective spec of every slot that a glob matches; later globs win.

    Raises:
        NormError: a spec is unknown or infeasible for its slot.
    """
    found: dict[str, str] = {}
    for slot in slots:
        texts = [text for glob, text in globs.items() if fnmatchcase(slot.name, glob)]
        if texts:
            found[slot.name] = str(NormSpec.parse(texts[-1]).canonical(slot.channels))
    return found
