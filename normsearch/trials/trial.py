"""The trial object that a user's training loop gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from normsearch.config import TrialConfig
from normsearch.data import Split
from normsearch.errors import TrainingError, short
from normsearch.networks import NormSlot, list_norms
from normsearch.norms import clamp_gates, norms_to_update
from normsearch.trials.training import parameter_groups
from normsearch.trials.trial_network import place_norms

Network = TypeVar("Network", bound=nn.Module)


class SlotsFound(BaseException):
    """Ends a trainer that was called only to find the slots of its network.

    Not an Exception, so that a trainer's error handling does not catch it.
    """

    def __init__(self, slots: list[NormSlot]) -> None:
        self.slots = slots


class Trial:
    """The hyperparameters of a trial, and the methods to place norms and save state.

    Attributes:
        number: the number of the trial, from 0.
        seed: of this training; torch, NumPy and random are seeded with it before it begins.
        device: the device to train on.
        learning_rate: chosen by the search.
        batch_size: chosen by the search.
        weight_decay: chosen by the search, or the setting of the study.
        samples: the budget, in training samples.
        evaluations: the number of scores to yield, at equal fractions of the budget.
        fold: the test fold, or folds joined by commas; '' if the study has none.
        scored_on: the subjects to score: ``validation`` in a search, ``test`` in a confirmation,
            which trains on all others.
        cases: training and validation cases; empty if the study has no task.
        folder: the folder of the trial, for files of the trainer.
        restored: the last state given to `save` if the trial was interrupted, else None.
        config: the complete configuration of the trial.
    """

    def __init__(
        self,
        config: TrialConfig,
        cases: Split,
        folder: Path,
        *,
        restored: dict[str, Any] | None = None,
        probing: bool = False,
    ) -> None:
        self.config, self.cases, self.folder, self.restored = config, cases, folder, restored
        self.number, self.seed = config.number, config.network.seed
        self.device = torch.device(config.device)
        self.learning_rate, self.batch_size = config.learning_rate, config.batch_size
        self.weight_decay = config.training.weight_decay
        self.samples = config.training.samples_of(config.batch_size)
        self.evaluations = config.training.evaluations
        self.fold = ",".join(config.task.test_folds)
        self.scored_on: Literal["validation", "test"] = (
            "test" if config.task.validation == "test" else "validation"
        )
        self._probing, self._state = probing, None  # type: bool, dict[str, Any] | None
        self.network: nn.Module | None = None

    def place_norms(self, network: Network) -> Network:
        """Put the trial's norms into the slots of a network, in place, and return it.

        Gates of adaptive norms are clamped before every forward pass. Move the network to `device`
        afterwards.

        Raises:
            NormError: the slots differ from those at the start of the study.
        """
        if self._probing:
            raise SlotsFound(list_norms(network))
        place_norms(network, self.config)
        norms = norms_to_update(network)
        network.register_forward_pre_hook(lambda module, inputs: clamp_gates(norms))
        self.network = network
        return network

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return parameter groups for an optimizer: gates learn faster, without weight decay."""
        return parameter_groups(network, self.config.gate_learning_rate)

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state to resume from; call it before the yield that it belongs to.

        Args:
            state: tensors, numbers, texts, lists and dicts, such as state_dicts. It is written
                together with the next score.
        """
        if not isinstance(state, Mapping):
            raise TrainingError(
                f"trial.save must get a mapping, such as {{'network': network.state_dict()}}, got "
                f"{short(state)}",
                kind="trainer",
            )
        self._state = dict(state)

    def take_state(self) -> dict[str, Any] | None:
        """Return the state given to `save` since the last call, or None."""
        state, self._state = self._state, None
        return state

    def __repr__(self) -> str:
        return (
            f"<Trial {self.number}: learning rate {self.learning_rate:.3g}, batch size "
            f"{self.batch_size}, {self.evaluations} evaluations, scored on {self.scored_on}>"
        )
