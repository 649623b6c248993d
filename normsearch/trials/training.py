"""Trains a trial from its configuration, without Ray and Optuna."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normsearch.config import TaskConfig, TrialConfig
from normsearch.config.base import shared
from normsearch.data import BatchLoader, Case, Split, spread_cases, whole_case
from normsearch.data.workers import flushes_subnormals
from normsearch.errors import GoneError, TakenError
from normsearch.files import write_text
from normsearch.norms import (
    Norm,
    clamp_gates,
    gate_parameters,
    initialize_weight_norms,
    norms_to_update,
    set_progress,
)
from normsearch.training import (
    Evaluation,
    OnAccess,
    Plan,
    ValidationCase,
    choose_metric,
    has_seam,
    limit_memory,
    load_newest,
    mean_score,
    probe_memory,
    save_newest,
    seam,
    train,
    typed_failures,
)
from normsearch.training.precision import autocast
from normsearch.trials.class_weights import loss_of
from normsearch.trials.sample_augmentation import augmentation_of
from normsearch.trials.task import interim_cases, sample_shape, sampling_of, split_task, task_loader
from normsearch.trials.trainer import Record, Trainer
from normsearch.trials.trial_network import network_of, refuse_changed_network

SEAM_CASES = 8
"""Number of cases whose seam is measured unless `TaskConfig.validation_cases` gives one."""


def training_loader(config: TrialConfig, cases: Sequence[Case]) -> BatchLoader:
    """Return the training samples of a trial."""
    augmentation = augmentation_of(config.task, cases, config.training.augmentation_seed)
    return task_loader(
        config.task,
        cases,
        config.batch_size,
        config.training.data_seed,
        augment=augmentation if augmentation.varies else None,
        workers=config.loader_workers,
    )


def validation_cases(
    task: TaskConfig, cases: Sequence[Case], window: Sequence[int]
) -> Mapping[str, ValidationCase]:
    """Return cases to score as a whole on their own grids, by id; each is read when it is scored.

    Args:
        task: what a sample is, and whether images are resampled or resized.
        cases: prepared.
        window: the spatial sides of the samples that the network is trained on.
    """
    known = {case.id: case for case in cases}

    def build(name: str) -> ValidationCase:
        case = known[name]
        how: dict[str, Any] = {"resized": task.resized, "spacing": task.target_spacing}
        whole = whole_case(case, sampling_of(task), task.outputs, window, **how)
        return ValidationCase(*whole, spacing=case.whole_spacing)

    return OnAccess(known, build)


class OwnSplit:
    """A trainer that gets all cases and splits them for each trial."""

    def __init__(self, trainer: Trainer[Split]) -> None:
        self._trainer = trainer

    def __call__(
        self, config: TrialConfig, cases: Sequence[Case], folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Train one trial on its own split of `cases`."""
        return self._trainer(config, split_task(config.task, list(cases)), folder, token)


def train_trial(
    config: TrialConfig, data: Split, folder: Path, token: str | None = None
) -> Iterator[Record]:
    """Train one trial; yield a record per evaluation point, with a checkpoint in `folder`.

    Resumes from FOLDER/checkpoint.pt if it exists, or from checkpoint-previous.pt if that is
    damaged. A record holds the fields of `Evaluation` except `details`, and also `parameters` (the
    number of trainable parameters), `learnt` (mixing weights of adaptive norms, by slot) and, after
    damage, `refused` (the reasons); the last one of a training on patches holds `seam`, the mean
    seam of `seam_cases`. FOLDER/cases.csv holds the latest score of each validation case, with its
    details (Dice and counts of voxels of each class, and the seam).

    Args:
        config: the trial.
        data: its training and validation cases; test cases are not used.
        folder: the folder of the trial.
        token: the required content of FOLDER/owner; None skips this check.

    Raises:
        TrainingError: the loss is not finite, or there is too little memory.
        CheckpointError: the checkpoint belongs to another network.
        ChangedNetworkError: the network's code differs from the recorded one.
        TakenError: another driver has taken over the trial.
        GoneError: the folder was deleted.
        DiskFullError: the disk is full.
    """
    with ExitStack() as ends:
        records = _train_trial(config, data, folder, token, ends)
        while True:
            with _subnormals_as_zero():
                record = next(records, None)
            if record is None:
                return
            yield record


@contextmanager
def _subnormals_as_zero() -> Iterator[None]:
    """Flush subnormal numbers to zero, which slow a network without norms down by half on CPUs."""
    before = flushes_subnormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _train_trial(
    config: TrialConfig, data: Split, folder: Path, token: str | None, ends: ExitStack
) -> Iterator[Record]:
    torch.set_num_threads(config.threads)
    task, shape = config.task, sample_shape(config.task, data.train)
    refuse_changed_network(config, str(folder / "trial.json"))
    network = network_of(config, shape[0])
    torch.manual_seed(config.network.seed)  # for dropout, independent of earlier random numbers
    state, refused = load_newest(folder)
    for reason in refused:
        warnings.warn(reason, stacklevel=3)

    loader = training_loader(config, data.train)
    ends.callback(loader.close)
    loss = loss_of(config.training, task, data.train)
    metric = choose_metric(config.training.metric, task.outputs, task.kind)
    if config.device != "cpu":
        limit_memory(config.gpu_share)
        probe_memory(network, loader.batch(0), loss, config.device, plan_of(config))
    if state is None:
        with typed_failures(config.batch_size):
            network.to(config.device)
            initialize_weight_norms(network, loader.batch(0)[0].to(config.device))
    validation = validation_cases(task, data.validation, shape[1:])
    norms = norms_to_update(network)
    for evaluation in train(
        network,
        loader,
        validation,
        plan_of(config),
        interim=validation_cases(task, interim_cases(task, data.validation), shape[1:]),
        loss=loss,
        score=metric.of_case,
        score_of_all=metric.of_all,
        parameter_groups=parameter_groups(network, config.gate_learning_rate),
        after_step=lambda: clamp_gates(norms),
        on_progress=lambda share: set_progress(norms, share),
        state=state,
        save=lambda state: save_newest(folder, state, lambda: check_owner(folder, token)),
        device=config.device,
    ):
        check_owner(folder, token)
        last = evaluation.evaluation == config.training.evaluations
        seams = _seams(config, network, data.validation, validation) if last else {}
        details = with_seams(evaluation.details, seams)
        write_cases(folder / "cases.csv", evaluation.evaluation, evaluation.cases, details)
        record = _record(evaluation, network) | ({"refused": refused} if refused else {})
        yield record | ({"seam": mean_score(seams.values())} if seams else {})


def seam_cases(task: TaskConfig, validation: Sequence[Case]) -> Sequence[Case]:
    """Return the cases whose seam is measured when a training on patches ends.

    As many as `TaskConfig.validation_cases`, else 8, spread over the subjects, of those that have
    one (see `has_seam`); none if a sample is no patch.
    """
    if task.sample != "patch":
        return ()
    large = [case for case in validation if has_seam(patch_grid(task, case), task.sides)]
    return spread_cases(large, task.validation_cases or SEAM_CASES)


def patch_grid(task: TaskConfig, case: Case) -> tuple[int, ...]:
    """Return the sides of a case's prepared image along the axes of a patch."""
    return (len(case.image), *case.image.shape[2:])[-len(task.sides) :]


def _seams(
    config: TrialConfig,
    network: nn.Module,
    cases: Sequence[Case],
    validation: Mapping[str, ValidationCase],
) -> dict[str, float]:
    """Return the seam of each case of `seam_cases`; `network` is at the end of its training."""
    set_progress(network, 1.0)  # a training that had ended is resumed without a step
    task = config.task
    with typed_failures(config.batch_size), autocast(config.training.amp, config.device):
        return {
            case.id: seam(
                network, validation[case.id].samples, task.sides,
                own=patch_grid(task, case), device=config.device,
            )
            for case in seam_cases(task, cases)
        }  # fmt: skip


def with_seams(
    details: Mapping[str, Mapping[str, float]], seams: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return the details of each case with its seam, NaN where none was measured."""
    if not seams:
        return {case: dict(own) for case, own in details.items()}
    return {case: {**own, "seam": seams.get(case, math.nan)} for case, own in details.items()}


def _record(evaluation: Evaluation, network: nn.Module) -> Record:
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    record = {**asdict(evaluation), "parameters": parameters, "learnt": learnt(network)}
    del record["details"]  # in cases.csv; too large for the study's storage
    return record


def plan_of(config: TrialConfig) -> Plan:
    """Return the budget, optimizer and options of a trial's training."""
    training = config.training
    own = {
        "samples": training.samples_of(config.batch_size),
        "learning_rate": config.learning_rate,
        "statistics_samples": training.statistics_samples * training.recompute_statistics,
    }
    return Plan(**{**shared(training, Plan), **own})


def parameter_groups(network: nn.Module, gate_rate: float) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups: gates at `gate_rate`, without weight decay."""
    gates = gate_parameters(network)
    known = {id(gate) for gate in gates}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.requires_grad and id(p) not in known]}
    ]
    if gates:
        groups.append({"params": gates, "lr": gate_rate, "weight_decay": 0.0})
    return groups


def check_owner(folder: Path, token: str | None) -> None:
    """Check that FOLDER/owner holds `token`, which allows a training to write there.

    Raises:
        TakenError: another driver has taken over the trial.
        GoneError: the folder was deleted.
    """
    if token is None:
        return
    try:
        owner = (folder / "owner").read_text()
    except (FileNotFoundError, NotADirectoryError):
        raise GoneError(
            f"{folder}: must exist while its trial is trained, and was deleted."
        ) from None
    if owner != token:
        raise TakenError(f"{folder}: another owner has taken this trial over.")


def learnt(network: nn.Module) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mixing weights of a network's adaptive norms, by slot."""
    return {
        name: weights
        for name, module in network.named_modules()
        if isinstance(module, Norm) and (weights := module.mixing_weights())
    }


def write_cases(
    path: Path,
    evaluation: int,
    scores: Mapping[str, float],
    details: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write a row per case: its id, the evaluation, its score, and its details by name."""
    text, details = io.StringIO(), details or {}
    names = list(next(iter(details.values()), {}))
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["case", "evaluation", "score", *names])
    for case, score in scores.items():
        rows.writerow([case, evaluation, score, *(details[case][name] for name in names)])
    write_text(path, text.getvalue())
