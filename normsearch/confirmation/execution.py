"""Execution of a prepared study: the trainer and data of its trials, and the executor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.confirmation.held_out import HeldOutTrainer
from normsearch.confirmation.look_course import Course, course_of
from normsearch.confirmation.look_progress import progress_sentences
from normsearch.confirmation.summary_text import few_cases
from normsearch.data import Split
from normsearch.networks.importing import WithProvided
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Callback, Event
from normsearch.search.local_executor import Executor, run_local
from normsearch.search.preparation import PreparedStudy
from normsearch.search.ray_executor import RayTrainer, run_ray
from normsearch.search.supernet import run_supernet
from normsearch.space.arms import ArmsSpace
from normsearch.space.interface import AnySpace
from normsearch.storage.records import StudyRecord
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
    search, split = prepared.config.search, replace(prepared.split, test=())  # tests stay unseen
    first: Callable[[], None] | None = None
    if search.method == "supernet":
        alone = WithProvided(train_trial, (prepared.config.network.name,))
        supernet = partial(run_supernet, coordinator, prepared.space, split)
        if executor == "local":
            supernet(alone)
        else:
            first = partial(supernet, RayTrainer(alone, search.resources))
    run = executor_of(executor, prepared, workers, address, first)
    trainer: Trainer[Split] = train_own if prepared.config.trainer else train_trial
    space = prepared.config.space
    if isinstance(space, ArmsConfig) and space.folds and prepared.cases:
        run(coordinator, prepared.cases, _whole(OwnSplit(trainer), prepared.config))
    else:
        run(coordinator, split, _whole(trainer, prepared.config))


class Schedule:
    """The trainings of a confirmation in looks that are due, from the run's record.

    Args:
        folder: the run's folder.
        storage: the storage, if it is not the journal file in the folder.
        config: the study.
        tell: called with an `Event` ``judged`` when a look was judged that no call saw before.
    """

    def __init__(
        self, folder: Path, storage: str | None, config: StudyConfig, tell: Callback
    ) -> None:
        self._folder, self._storage, self._config, self._tell = folder, storage, config, tell
        self._record: StudyRecord | None = None
        self._ended: frozenset[int] | None = None
        self._due: list[dict[str, Any]] = []
        self._judged = 0

    def __call__(self) -> list[dict[str, Any]]:
        """Return the parameters of the trainings up to the next look."""
        if self._record is None:
            self._record = StudyRecord(self._folder, self._storage)
        trials = self._record.trials()
        ended = frozenset(trials.loc[trials["state"].isin(["COMPLETE", "FAIL"]), "number"])
        if ended != self._ended:
            found = course_of(self._record, self._config)
            self._due, self._ended = parameters(found), ended
            if found.judged > self._judged:
                self._judged = found.judged
                about = {"asked": found.trainings, "notes": list(progress_sentences(found))}
                self._tell(Event("judged", -1, about))
        return self._due


def parameters(course: Course) -> list[dict[str, Any]]:
    """Return the parameters of the trainings that are due, as `ArmsSpace` suggests them."""
    folds = [{"fold": fold} for fold in course.space.folds] or [{}]
    return [{**fold, "seed": seed, "arm": arm} for seed, arm in course.due for fold in folds]


def scheduled(
    space: AnySpace, config: StudyConfig, folder: Path, storage: str | None, tell: Callback
) -> AnySpace:
    """Return the space of a study; with design looks, of the trainings that are due."""
    if not (isinstance(space, ArmsSpace) and space.config.design == "looks"):
        return space
    return space.due_by(Schedule(folder, storage, config, tell))


def executor_of(
    name: ExecutorName,
    prepared: PreparedStudy,
    workers: int | None,
    address: str | None,
    first: Callable[[], None] | None = None,
) -> Executor:
    """Return the executor of a name, for a study's workers; on Ray with what it does first."""
    if name == "local":
        return run_local
    search = prepared.config.search
    return partial(
        run_ray,
        resources=search.resources, workers=workers or search.workers, address=address, first=first,
    )  # fmt: skip


def _warn_of_few_cases(prepared: PreparedStudy) -> None:
    space = prepared.config.space
    if not (isinstance(space, ArmsConfig) and space.origin):
        return
    in_turn = [case for case in prepared.cases if set(case.folds) & set(space.folds)]
    tested = len(in_turn or prepared.split.validation)
    comparisons = 1 if space.design == "looks" else len(space.origin.trials) - 1
    if tested and (few := few_cases(tested, comparisons)):
        cure = "" if space.folds else " --folds all tests on every subject."
        warnings.warn(f"{few}{cure}", stacklevel=3)


def _whole(trainer: Trainer[Data], config: StudyConfig) -> Trainer[Data]:
    """Return a trainer that also measures test cases and copies checkpoints, as the study asks."""
    if config.task.validation == "test" and not config.trainer:
        trainer = HeldOutTrainer(trainer)
    if far := config.search.checkpoints:
        trainer = RemoteTrainer(trainer, far)
    return WithProvided(trainer, (config.trainer, config.network.name))
