"""Exports trained networks as folders that can be loaded without their run, Ray or Optuna."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normsearch.config import TrialConfig
from normsearch.config.reading import read_model_file
from normsearch.errors import CheckpointError, ConfigError, StudyError, one_line
from normsearch.files import is_folder, is_there, write_atomically, write_text
from normsearch.networks import apply_norm_map
from normsearch.networks.importing import nameless
from normsearch.training import load_checkpoint, load_tensors, network_weights
from normsearch.trials.model_card import PROGRAM, WEIGHTS, ModelConfig, card, sample_shape_of
from normsearch.trials.trial_network import (
    build_trial_network,
    digest_network,
    refuse_changed_network,
)
from normsearch.trials.trust import refuse_foreign_code

DESCRIPTION, CARD = "model.json", "model.py"


@dataclass(frozen=True)
class TrainedModel:
    """A trained network in eval mode, with its description."""

    network: nn.Module
    config: ModelConfig

    def __repr__(self) -> str:
        trial = self.config.trial
        return f"<TrainedModel {trial.network.name} of {trial.study}, samples {self.sample_shape}>"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(channels, *spatial) of the samples it was trained on."""
        return sample_shape_of(self.config.trial)

    def precision(self, device: str) -> str:
        """Return the automatic mixed precision of predictions on a device (``cpu``, ``cuda``).

        It is that of the training, and validation, on the same kind of device; ``off`` on another.
        """
        trial = self.config.trial
        return trial.training.amp if trial.device == device else "off"


def export_model(
    folder: Path, trial_folder: Path, config: ModelConfig, *, accept_changed_network: bool = False
) -> tuple[list[Path], str]:
    """Export a trial's network to a folder.

    weights.pt holds the state_dict, model.json the trial, model.py a model card with the code that
    loads the network, program.pt2 the network as a graph (torch.export, any number of samples).

    Args:
        folder: new or empty.
        trial_folder: the folder of the trial, with its checkpoint.
        config: the content of model.json.
        accept_changed_network: load the weights into the current network even if its code has
            changed since the training; the digest is then that of the current network.

    Returns:
        The files, and the reason why there is no program.pt2 (or an empty text).

    Raises:
        StudyError: the folder is not empty, the trial has no checkpoint, or its network no name.
        CheckpointError: the checkpoint is damaged or belongs to another network.
        ChangedNetworkError: the network's code has changed since the training.
    """
    if nameless(config.trial.network.name):
        raise StudyError(
            f"{config.trial.network.name}: must be a network that can be imported by its name, or "
            "nothing could load the model; write it as a function with a name at the top of a "
            f"module and train again (these weights stay in {trial_folder / 'checkpoint.pt'})."
        )
    if is_there(folder) and (not is_folder(folder) or any(folder.iterdir())):
        raise StudyError(f"{folder}: must be a new or an empty folder; choose another with -o.")
    state = load_checkpoint(trial_folder / "checkpoint.pt")
    if state is None:
        raise StudyError(
            f"{trial_folder}: must hold a checkpoint.pt, which only completed trials keep; train "
            f"it again with `normsearch train {trial_folder / 'trial.json'}`."
        )
    config = _checked(config, str(trial_folder / "trial.json"), accept_changed_network)
    network = rebuild(
        config.trial, network_weights(state, trial_folder / "checkpoint.pt"), trial_folder
    )
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    program, reason = _program(network, sample_shape_of(config.trial))
    code = card(config, reason)
    write_atomically(folder / WEIGHTS, lambda file: torch.save(weights, file))
    write_text(folder / DESCRIPTION, config.model_dump_json(indent=2) + "\n")
    write_text(folder / CARD, code)
    files = [folder / WEIGHTS, folder / DESCRIPTION, folder / CARD]
    if program:
        write_atomically(folder / PROGRAM, lambda file: file.write(program))
        files.append(folder / PROGRAM)
    return files, reason


def load_model(
    folder: str | Path,
    device: str = "cpu",
    *,
    trust_code: bool = False,
    accept_changed_network: bool = False,
) -> TrainedModel:
    """Load a model that `export_model` wrote.

    Args:
        folder: the folder of the model.
        device: the device to load it to.
        trust_code: import a network or a function of `task` that is not of this package, which
            runs its code.
        accept_changed_network: load the weights into the current network even if its code has
            changed since the training.

    Raises:
        ConfigError: model.json is missing or invalid.
        TrustError: it needs code that is not of this package, and `trust_code` is False.
        CheckpointError: weights.pt is missing, damaged, or belongs to another network.
        ChangedNetworkError: the network's code has changed since the training.
    """
    folder = Path(folder)
    config = read_model_file(ModelConfig, folder / DESCRIPTION)
    if not trust_code:
        refuse_foreign_code(config.trial, str(folder / DESCRIPTION))
    weights = load_tensors(folder / WEIGHTS)
    if weights is None:
        raise CheckpointError(f"{folder}: must hold {WEIGHTS}, which is missing; export it again.")
    config = _checked(config, str(folder / DESCRIPTION), accept_changed_network)
    return TrainedModel(rebuild(config.trial, weights, folder / WEIGHTS).to(device), config)


def _checked(config: ModelConfig, where: str, accept_changed: bool) -> ModelConfig:
    """Check the network against the recorded digest, or replace the digest if accepted."""
    trial, shape = config.trial, sample_shape_of(config.trial)
    if not accept_changed:
        refuse_changed_network(trial, where)
        return config
    digest = digest_network(trial.network, shape, trial.task.outputs)
    changed = trial.model_copy(update={"network_digest": digest})
    return config.model_copy(update={"trial": changed})


def rebuild(trial: TrialConfig, weights: dict[str, Any], where: Path) -> nn.Module:
    """Return a trial's network with trained weights, in eval mode; `where` is for messages.

    Raises:
        CheckpointError: the weights belong to another network.
        ConfigError: the network is too large for this machine.
    """
    channels = sample_shape_of(trial)[0]
    try:
        network = build_trial_network(trial.network, channels, trial.task.outputs)
    except (RuntimeError, MemoryError, OverflowError) as error:  # too large for this machine
        raise ConfigError(
            f"{where}: must describe a network that can be built, got '{one_line(error)}'."
        ) from error
    apply_norm_map(network, trial.norm_map)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{where}: must hold this network's weights: {one_line(error)}."
        ) from error
    return network.eval()


def _program(network: nn.Module, sample_shape: tuple[int, ...]) -> tuple[bytes, str]:
    """Return the network as an exported program, or no bytes and the reason."""
    example = torch.zeros(2, *sample_shape)  # torch.export would treat a length of 1 as a constant
    samples = torch.export.Dim("samples", min=1)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of torch about its tracing
        try:
            program = torch.export.export(network, (example,), dynamic_shapes=({0: samples},))
            torch.export.save(program, file)
        except (RuntimeError, ValueError, TypeError) as error:  # exceptions of torch.export
            reason = str(error).strip().partition("\n")[0]
            return b"", f"torch.export does not support this network ({reason})"
    return file.getvalue(), ""
