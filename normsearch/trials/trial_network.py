"""Builds the network of a trial, places its norms, and compares it with the recorded one."""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import nn

from normsearch.config import NetworkConfig, NetworkDigest, TrialConfig
from normsearch.errors import ChangedNetworkError
from normsearch.networks import (
    NETWORKS,
    apply_norm_map,
    build_network,
    code_files,
    fixed_output,
    mix_norms,
    parameters_digest,
    same_output,
    small_sides,
    use_checkpointing,
)
from normsearch.norms import freeze_affine

_NARROW = 8  # channels of the first level


def network_settings(config: NetworkConfig, in_channels: int, outputs: int) -> dict[str, Any]:
    """Return the arguments of `build_network` for a study's network."""
    settings = {
        "name": config.name,
        "in_channels": in_channels,
        "out_channels": outputs,
        **dict(config),
    }
    return {key: value for key, value in settings.items() if value not in (None, "", {})}


def build_trial_network(config: NetworkConfig, in_channels: int, outputs: int = 1) -> nn.Module:
    """Build a study's network, with weights drawn from the study's seed."""
    settings = network_settings(config, in_channels, outputs)
    return build_network(settings.pop("name"), **settings)


def network_of(trial: TrialConfig, in_channels: int) -> nn.Module:
    """Build the network of a trial as it is trained, with its norms."""
    network = build_trial_network(trial.network, in_channels, trial.task.outputs)
    place_norms(network, trial)
    if trial.training.checkpointing:
        use_checkpointing(network)
    return network


def place_norms(network: nn.Module, trial: TrialConfig) -> None:
    """Put a trial's norms, or a supernet's mixtures, into the slots of its network."""
    if trial.mixtures:
        mixtures = {mixture.slots: mixture.choices for mixture in trial.mixtures}
        mix_norms(network, mixtures, sparse=trial.mixtures[0].weights == "sparsest_max")
    else:
        apply_norm_map(network, trial.norm_map)
    if not trial.affine:
        freeze_affine(network)


def digest_network(
    config: NetworkConfig,
    shape: tuple[int, ...],
    outputs: int = 1,
    *,
    like: NetworkDigest | None = None,
) -> NetworkDigest:
    """Return what identifies a network, whatever its seed and the activation of a trial.

    A network of this package computes the output in a narrow version, from a small input: the code
    is the same, and the digest costs little for large samples.

    Args:
        config: the network.
        shape: (channels, *spatial) of a sample.
        outputs: channels of the logits.
        like: a recorded digest to compare with; the output is computed from an input of its size.

    Raises:
        NetworkError: the network cannot be built, or does not accept a sample.
    """
    config = config.model_copy(update={"activation": None, "seed": 0})
    network = outline(config, shape[0], outputs)
    computing, sides = network, shape[1:]
    if config.name in NETWORKS:
        narrow = config.model_copy(update={"first_channels": _NARROW})
        computing = build_trial_network(narrow, shape[0], outputs)
        sides = small_sides(computing, sides)
    if like is not None:
        sides = like.sides or shape[1:]
    return NetworkDigest(
        files=code_files(network, config.name) if ":" in config.name else {},
        parameters=parameters_digest(network),
        output=fixed_output(computing, (shape[0], *sides)),
        sides=None if sides == shape[1:] else sides,
    )


def outline(config: NetworkConfig, in_channels: int, outputs: int = 1) -> nn.Module:
    """Build a study's network on the CPU; a built-in one without allocating weights."""
    if config.name not in NETWORKS:
        return build_trial_network(config, in_channels, outputs).cpu()
    with torch.device("meta"):
        return build_trial_network(config, in_channels, outputs)


def refuse_changed_network(trial: TrialConfig, where: str) -> None:
    """Check that the network of a trial is the recorded one.

    Trials of older versions, without a record, pass.

    Raises:
        ChangedNetworkError: it has changed; the message says how. `where` is the file of the
            record.
        NetworkError: the network can no longer be built.
    """
    if trial.network_digest is None or trial.sample_shape is None:
        return
    then = trial.network_digest
    now = digest_network(trial.network, trial.sample_shape, trial.task.outputs, like=then)
    refuse_other_network(trial.network.name, then, now, where)


def refuse_other_network(name: str, then: NetworkDigest, now: NetworkDigest, where: str) -> None:
    """Raise ChangedNetworkError, with the differences, if two digests differ."""
    if changed := _changes(then, now):
        raise ChangedNetworkError(
            f"{name}: must be the network that {where} was made with, and on {platform.node()} "
            f"{changed}; restore it (on every machine that trains), or accept "
            "the change with --accept-changed-network"
        )


def _changes(then: NetworkDigest, now: NetworkDigest) -> str:
    """Return the differences as text, or an empty text."""
    names = {*then.files, *now.files}
    files = sorted(name for name in names if then.files.get(name) != now.files.get(name))
    facts = []
    if files:
        facts.append(f"the code in {', '.join(files)} is another")
    if then.parameters != now.parameters:
        facts.append("the names or shapes of its parameters are others")
    if then.sides == now.sides:  # else the outputs are of other inputs, by versions that differ
        same = same_output(then.output, now.output)
        facts += [] if same else ["it computes something else"]
        facts += ["what it computes is the same"] if same and facts else []
    return " and ".join([", ".join(facts[:-1]), facts[-1]] if len(facts) > 1 else facts)
