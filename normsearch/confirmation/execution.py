"""Execution of a prepared study: the trainer and data of its trials, and the executor."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Literal

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.confirmation.held_out import HeldOutTrainer
from normsearch.confirmation.summary_text import few_cases
from normsearch.data import Split
from normsearch.networks.importing import WithProvided
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import Executor, run_local
from normsearch.search.preparation import PreparedStudy
from normsearch.search.ray_executor import run_ray
from normsearch.search.supernet import run_supernet
from normsearch.storage.remote_checkpoints import RemoteTrainer
from normsearch.trials.own_training import train_own
from normsearch.trials.trainer import Data, Trainer
from normsearch.trials.training import OwnSplit, train_trial

ExecutorName = Literal["ray", "local"]


def execute(
    coordinator: Coordinator,
    prepared: PreparedStudy,
    workers: int | None,
    executor: ExecutorName,
    address: str | None,
) -> None:
    """Train until as many trials as asked for are finished, with Ray or in this process."""
    _warn_of_few_cases(prepared)
    search, run = prepared.config.search, executor_of(executor, prepared, workers, address)
    split = replace(prepared.split, test=())  # no test case leaves here, for none must be seen
    if search.method == "supernet":
        run_supernet(coordinator, prepared.space, split, train_trial)
    trainer: Trainer[Split] = train_own if prepared.config.trainer else train_trial
    space = prepared.config.space
    if isinstance(space, ArmsConfig) and space.folds and prepared.cases:
        run(coordinator, prepared.cases, _whole(OwnSplit(trainer), prepared.config))
    else:
        run(coordinator, split, _whole(trainer, prepared.config))


def executor_of(
    name: ExecutorName, prepared: PreparedStudy, workers: int | None, address: str | None
) -> Executor:
    """Return the executor of a name, for a study's workers."""
    if name == "local":
        return run_local
    search = prepared.config.search
    return partial(
        run_ray,
        resources=search.resources, workers=workers or search.workers, address=address,
    )  # fmt: skip


def _warn_of_few_cases(prepared: PreparedStudy) -> None:
    space = prepared.config.space
    if not (isinstance(space, ArmsConfig) and space.origin):
        return
    in_turn = [case for case in prepared.cases if set(case.folds) & set(space.folds)]
    tested = len(in_turn or prepared.split.validation)
    if tested and (few := few_cases(tested, len(space.origin.trials) - 1)):
        cure = "" if space.folds else " --folds all tests on every subject."
        warnings.warn(f"{few}{cure}", stacklevel=3)


def _whole(trainer: Trainer[Data], config: StudyConfig) -> Trainer[Data]:
    """Return a trainer that also measures test cases and copies checkpoints, as the study asks."""
    if config.task.validation == "test" and not config.trainer:
        trainer = HeldOutTrainer(trainer)
    if far := config.search.checkpoints:
        trainer = RemoteTrainer(trainer, far)
    return WithProvided(trainer)
