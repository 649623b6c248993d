"""Checks of a study's network before its first trial."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normsearch.config import (
    ArmsConfig,
    NetworkDigest,
    PythonSpaceConfig,
    SpaceConfig,
    StudyConfig,
    TaskConfig,
    TrainingConfig,
)
from normsearch.data import Split
from normsearch.errors import ConfigError, short
from normsearch.networks import NormSlot, dry_run, list_norms, use_checkpointing
from normsearch.networks.importing import nameless
from normsearch.training import Plan, check_compiler, choose_loss, choose_metric, over_scales
from normsearch.training.optimizer_step import build_optimizer
from normsearch.training.schedule import schedule_of
from normsearch.trials.sample_augmentation import try_transforms
from normsearch.trials.task import sample_shape, task_loader
from normsearch.trials.trial_network import (
    digest_network,
    outline,
    refuse_other_network,
)


@dataclass(frozen=True)
class TriedNetwork:
    """The norm slots that a search may use, and the digest of the network."""

    slots: list[NormSlot]
    digest: NetworkDigest


def try_network(
    config: StudyConfig, split: Split, where: str, *, accept_changed: bool = False
) -> TriedNetwork:
    """Build a study's network and try it as in a training.

    Args:
        config: the study.
        split: its data.
        where: the name of the study in messages.
        accept_changed: accept the current network even if it differs from the recorded one.

    Raises:
        ChangedNetworkError: the network differs from the recorded one.
        NetworkError: the network cannot be built, trained or searched.
        ConfigError: the loss does not fit the task.
        DataError: samples differ in shape.
    """
    outputs = config.task.outputs
    if nameless(config.network.name):
        warnings.warn(
            f"network: {config.network.name} cannot be imported by its name, so that its models "
            "cannot be exported, nor the run resumed but by this study; write it as a function "
            "with a name at the top of a module",
            stacklevel=2,
        )
    if config.training.compile:
        device = "cuda" if config.search.resources.gpu else "cpu"
        check_compiler(device, config.training.cuda_graphs)
    loader = task_loader(config.task, split.train, 1, 0)  # refuses samples of several shapes
    check_training(config.training, config.task, loader.batch(0)[1])
    try_transforms(config.task, split.train)
    shape = sample_shape(config.task, split.train)
    networks = _build_all(config, shape[0])
    shapes = {sample_shape(config.task, [case]) for case in (*split.train, *split.validation)}
    for size in sorted(shapes):
        if check_size := getattr(networks[0], "check_size", None):
            check_size(size[1:])
    then = config.network_digest
    digest = digest_network(config.network, shape, outputs, like=then) if then else None
    if then and digest and not accept_changed:
        refuse_other_network(config.network.name, then, digest, where)
    slots = list_norms(networks[0])
    if ":" in config.network.name:
        others = sorted(shapes - {shape})
        idle = _try_foreign(config, split, networks, [shape, *others])
        slots = [slot for slot in slots if slot.name not in idle]
    return TriedNetwork(slots, digest or digest_network(config.network, shape, outputs))


def check_training(training: TrainingConfig, task: TaskConfig, truth: Tensor) -> None:
    """Try loss, metric, schedule and optimizer of a training on the truth of one sample.

    Raises:
        ConfigError: one does not fit the task, or returns no number.
        TrainingError: the metric or schedule of the user raises.
    """
    weights = training.class_weights
    if weights == "balanced":
        weights = (1.0,) * max(2, task.outputs)
    loss = choose_loss(training.loss, task.outputs, task.kind, weights)
    metric = choose_metric(training.metric, task.outputs, task.kind)
    plan = Plan(1, 1, 0.1, optimizer=training.optimizer, schedule=training.schedule)
    schedule_of(plan)(0.5)
    build_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], plan)
    sides = truth.shape[2:] if task.outputs == 1 else truth.shape[1:]
    logits = torch.zeros(len(truth), task.outputs, *sides, requires_grad=True)
    if ":" in training.loss:
        value = loss(logits, truth)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ConfigError(
                f"training.loss: {training.loss} must return a scalar tensor, got {_told(value)}."
            )
    if training.metric.foreign:
        metric.of_case(*_tiny_case(task), (1.0, 1.0, 1.0))


def _told(value: object) -> str:
    return f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else short(value)


def _tiny_case(task: TaskConfig) -> tuple[Tensor, Tensor]:
    """Return logits and truth of a case of three slices with every class, or of one image."""
    if task.kind == "classification":
        return torch.zeros(1, task.outputs), torch.zeros(1, dtype=torch.long)
    classes = torch.arange(3 * 16 * 16).reshape(3, 16, 16) % max(2, task.outputs)
    truth = classes[:, None].float() if task.outputs == 1 else classes
    return torch.ones(3, task.outputs, 16, 16), truth


def _build_all(config: StudyConfig, channels: int) -> list[nn.Module]:
    """Build the network, and one with each activation of the space."""
    offered = config.space.activation if isinstance(config.space, SpaceConfig) else None
    names = offered.choices if offered else ()
    chosen = [config.network.model_copy(update={"activation": name}) for name in names]
    built = [
        outline(network, channels, config.task.outputs) for network in (config.network, *chosen)
    ]
    if config.training.checkpointing:
        for network in built:
            use_checkpointing(network)
    return built


def _try_foreign(
    config: StudyConfig,
    split: Split,
    networks: Sequence[nn.Module],
    shapes: Sequence[tuple[int, ...]],
) -> set[str]:
    """Try networks, warn of possible problems, and return the slots whose norm never runs."""
    task = config.task
    scales = config.training.deep_supervision
    loss = over_scales(choose_loss(config.training.loss, task.outputs, task.kind), scales)
    loaders = [task_loader(task, split.train, size, 0) for size in _sizes_to_try(config)]
    batches = [loader.batch(0) for loader in loaders]
    idle: set[str] = set()
    for network in networks:
        tried = dry_run(network, shapes, batches, loss, task.outputs, first_alone=scales is False)
        for warning in tried.warnings:
            warnings.warn(f"{warning}.", stacklevel=2)
        idle |= set(tried.idle)
    if idle:
        names = ", ".join(sorted(idle))
        warnings.warn(
            f"{config.network.name}: norms that never run are left out of the search: {names}.",
            stacklevel=2,
        )
    return idle


def _sizes_to_try(config: StudyConfig) -> list[int]:
    """Return batch sizes that represent those of a space: 1 if it has 1, and 2 if it has others."""
    space = config.space
    if isinstance(space, PythonSpaceConfig):
        return [2]
    if isinstance(space, ArmsConfig):
        sizes = {arm.batch_size for arm in space.arms}
    else:
        sizes = set(space.batch_size.choices)
    return sorted({min(size, 2) for size in sizes})
