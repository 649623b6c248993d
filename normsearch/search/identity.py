"""The identity of a study in its storage, so that two studies never share trials."""

from __future__ import annotations

import hashlib
import json

import optuna

from normsearch.config import NetworkDigest, StudyConfig, TrainingConfig
from normsearch.errors import StudyError
from normsearch.trials.trial_network import refuse_other_network

_LATER = (
    *("metric", "class_weights", "deep_supervision", "channels_last", "compile"),
    *("cuda_graphs", "warmup", "gradient_clipping", "ema"),
)
"""Settings of the training that came after the first runs; left out of an identity at default."""
_LATER_CHOICES = ("gradient_clipping",)
"""Choices of a space that came after the first runs; left out of an identity unless given."""
_LATER_OF_TASK = (
    *("spacing", "foreground_intensities"),
    *("foreground_share", "memory", "validation_cases", "folds"),
)
"""Keys of the task that came after the first runs; left out of an identity unless given."""


def identity(study: StudyConfig) -> str:
    """Return the SHA-256 of a study's data, network, training, space and metric.

    The place of the data and the settings of the search are not part of it.
    """
    parts = {"task", "network", "training", "space", "fingerprint", "sample_shape"}
    facts = study.model_dump(mode="json", include=parts)
    facts["task"].pop("data")
    for name in _LATER:
        if getattr(study.training, name) == TrainingConfig.model_fields[name].default:
            facts["training"].pop(name)
    facts["training"].get("metric", {}).pop("range", None)  # no score depends on it
    facts["space"].pop("trainings", None)  # looks may be allowed more
    if facts["space"].get("design") == "fixed":  # designs came after the first runs
        facts["space"].pop("design")
    for choice in (facts["space"], *facts["space"].get("arms", ())):
        for name in _LATER_CHOICES:
            if choice.get(name, 0) is None:
                choice.pop(name)
    if not study.task.augmentation.transforms:
        facts["task"]["augmentation"].pop("transforms")
    for name in _LATER_OF_TASK:
        if facts["task"][name] is None:
            facts["task"].pop(name)
    if study.trainer:
        facts["trainer"] = study.trainer
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def check_identity(study: optuna.Study, config: StudyConfig) -> None:
    """Raise StudyError if the storage's study was started with other data, network or space.

    A study without an identity (new, or of an older version) gets this one, and the digest of
    its network.

    Raises:
        ChangedNetworkError: the network's code differs from another driver's.
    """
    own = identity(config)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", own)
    elif known != own:
        raise StudyError(
            f"{config.name}: the storage's study of this name must be of the same data, network, "
            "training and space, and is of another run; give this run another name, or "
            "another --storage."
        )
    if config.network_digest is None:
        return
    stored = study.user_attrs.get("network_digest")
    if stored is None:
        record_network(study, config)
    else:
        then = NetworkDigest.model_validate(stored)
        where = f"the storage's study {config.name}"
        refuse_other_network(config.network.name, then, config.network_digest, where)


def record_network(study: optuna.Study, config: StudyConfig) -> None:
    """Record the current network of a study in the storage."""
    digest = config.network_digest
    study.set_user_attr("network_digest", digest and digest.model_dump(mode="json"))
