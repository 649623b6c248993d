"""The training of a prepared study: the trainer and data of its trials, and the executor."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal

from normsearch.config import ArmsConfig
from normsearch.confirmation.held_out import HeldOutTrainer
from normsearch.confirmation.summary_text import few_cases
from normsearch.data import Case, Split
from normsearch.networks.importing import WithProvided
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.search.preparation import PreparedStudy
from normsearch.search.ray_executor import run_ray
from normsearch.search.supernet import run_supernet
from normsearch.storage.remote_checkpoints import RemoteTrainer
from normsearch.trials.own_training import train_own
from normsearch.trials.training import OwnSplit, train_trial

Executor = Literal["ray", "local"]


def execute(
    coordinator: Coordinator,
    prepared: PreparedStudy,
    workers: int | None,
    executor: Executor,
    address: str | None,
) -> None:
    """Train until as many trials as asked for are finished, by Ray or in this process."""
    _warn_of_few_cases(prepared)
    search = prepared.config.search
    data, trainer = _data_and_trainer(prepared)
    if search.method == "supernet":
        run_supernet(coordinator, prepared.space, data, train_trial)
    if executor == "local":
        run_local(coordinator, data, trainer)
    else:
        run_ray(
            coordinator, data, trainer,
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


def _data_and_trainer(prepared: PreparedStudy) -> tuple[Any, Any]:
    """The data and the trainer: in a search no test case leaves here, for none must be seen."""
    config = prepared.config
    data: Split | tuple[Case, ...] = replace(prepared.split, test=())
    trainer: Any = train_own if config.trainer else train_trial
    if isinstance(config.space, ArmsConfig) and config.space.folds and prepared.cases:
        data, trainer = prepared.cases, OwnSplit(trainer)
    if config.task.validation == "test" and not config.trainer:
        trainer = HeldOutTrainer(trainer)
    far = config.search.checkpoints
    return data, WithProvided(RemoteTrainer(trainer, far) if far else trainer)
