"""What `run` and `resume` share: checks at the door, the search, the last words."""

from __future__ import annotations

import json
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normsearch.cli.progress import Progress
from normsearch.cli.terminal import say, show
from normsearch.config import ArmsConfig, StudyConfig
from normsearch.data import Case, Split
from normsearch.errors import StudyError
from normsearch.files import is_file, user_path
from normsearch.norms import kernels_in_use
from normsearch.search.checks import build_space, check_search
from normsearch.space.layered import AnySpace, Space
from normsearch.trials.network_check import try_network
from normsearch.trials.network_memory import check_weights, enough_memory
from normsearch.trials.task import (
    check_fingerprint,
    check_foreground,
    load_task,
    resolve_task,
    sample_shape,
    split_task,
    training_geometry,
)
from normsearch.trials.training import train_on_own_split, train_trial
from normsearch.trials.trust import refuse_unseen_code

if TYPE_CHECKING:
    from normsearch.search.coordinator import Coordinator
    from normsearch.storage.records import StudyRecord


@dataclass(frozen=True)
class Door:
    """A study that passed every check: nothing of a run is made before there is one."""

    config: StudyConfig
    split: Split
    space: AnySpace
    data: Path | None
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class How:
    """How a search is executed on this machine."""

    address: str | None
    workers: int | None
    local: bool
    as_json: bool
    storage: str | None


def check(
    config: StudyConfig,
    space_origin: str,
    data: Path | None,
    where: str,
    *,
    trusted: bool = False,
    accept_changed: bool = False,
) -> Door:
    """Read the data, build and try the network, lay the space over its slots.

    Args:
        config: the study.
        space_origin: what stands before a key of its space in messages.
        data: the folder that holds data sets.
        where: names the study in messages.
        trusted: whether all code that it names may run; see `refuse_unseen_code`.
        accept_changed: take the network as it is now for the one that was recorded.

    Raises:
        NormsearchError: the first thing that does not hold.
    """
    if not trusted:
        refuse_unseen_code(config, where)
    data = Path(os.path.realpath(user_path(data))) if data else None
    config = config.model_copy(update={"task": resolve_task(config.task, data)})
    with enough_memory(f"{config.task.data}: its prepared images", "task.size"):
        cases = load_task(config.task, data)
    fingerprint = check_fingerprint(cases, config.fingerprint, where)
    split = _first_split(config, cases)
    check_foreground(config.task, split.validation)
    with enough_memory(f"network: {config.network.name}", "network.first_channels or task.size"):
        check_weights(config, sample_shape(config.task, split.train)[0])
        network = try_network(config, split, where, accept_changed=accept_changed)
    space = build_space(config.space, network.slots, space_origin)
    check_search(config, space)
    _tell_of_single_norms(space)
    config = config.model_copy(
        update={
            "fingerprint": fingerprint,
            "sample_shape": sample_shape(config.task, split.train),
            "geometry": training_geometry(split.train),
            "versions": config.versions or versions(),
            "network_digest": network.digest,
        }
    )
    return Door(config, split, space, data, tuple(cases))


def _tell_of_single_norms(space: AnySpace) -> None:
    """Warn of norms of the space that are no single norm, or not the same one in every slot."""
    if not isinstance(space, Space):
        return
    for norm, slots in space.substitutes().items():
        placed = ", ".join(f"{spec} in {slot}" for slot, spec in list(slots.items())[:3])
        more = f" and {len(slots) - 3} more slots" if len(slots) > 3 else ""
        told = f"{norm} as a single norm does not fit every slot; the nearest takes its place there"
        say(f"normsearch: warning: {told}: {placed}{more}.")
    for norm, reason in space.missing_single_norms().items():
        told = f"{norm} is not compared as a single norm: {reason}."
        say(f"normsearch: warning: {told}")


@contextmanager
def resumable(name: str, command: str | None = None) -> Iterator[None]:
    """Turn Ctrl-C into exit code 130, SIGTERM into 143, and a word on how to go on: `command`."""
    from normsearch.search.signals import Terminated

    try:
        yield
    except KeyboardInterrupt as end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # settled: a second one stops nothing
        terminated = isinstance(end, Terminated)
        word = "Terminated" if terminated else "Interrupted"
        command = command or f"normsearch resume {name}"
        say(f"{word}; nothing is lost. Go on with: {command}")
        raise typer.Exit(143 if terminated else 130) from None


def search(folder: Path, door: Door, how: How) -> None:
    """Search until as many trials as asked for are finished, show progress, print the outcome."""
    coordinator = train_all(folder, door, how)
    _tell_end(coordinator)
    _outcome(folder, how, door.config)
    completed = any(state == "COMPLETE" for _, state, _ in coordinator.states())
    if not (completed or coordinator.stopping):
        raise _nothing_completed(folder, how)


def train_all(folder: Path, door: Door, how: How) -> Coordinator:
    """Train until as many trials as asked for are finished, and show progress."""
    from normsearch.search.callbacks import build_callbacks
    from normsearch.search.coordinator import Coordinator
    from normsearch.search.jobs import Event

    config = door.config
    if config.task.validation == "training":
        say("Overfit check: scores are of the training cases and prove nothing.")
    data, trainer = _what_workers_get(door)
    loggers = build_callbacks(config.search.callbacks, folder, config.name)
    with Progress(config) as progress:

        def listen(event: Event) -> None:
            progress(event)
            for logger in loggers:
                logger(event)

        coordinator = Coordinator(
            folder, config, door.space, storage_url=how.storage, listener=listen
        )
        progress.begin(coordinator.states())
        if config.search.method == "supernet":
            from normsearch.search.supernet import run_supernet

            run_supernet(coordinator, door.space, data, train_trial)
        if how.local:
            from normsearch.search.local_executor import run_local

            run_local(coordinator, data, trainer)
        else:
            from normsearch.search.ray_executor import run_ray

            run_ray(
                coordinator,
                data,
                trainer,
                resources=config.search.resources,
                workers=how.workers or config.search.workers,
                address=how.address,
            )
    return coordinator


def _what_workers_get(door: Door) -> tuple[Any, Any]:
    """The data and the trainer: in a search no test case leaves here, for none must be seen."""
    from normsearch.storage.remote_checkpoints import RemoteTrainer

    data: Any = Split(train=door.split.train, validation=door.split.validation, test=())
    trainer: Any = train_trial
    if isinstance(door.config.space, ArmsConfig) and door.config.space.folds:
        data, trainer = door.cases, train_on_own_split
    if door.config.task.validation == "test":
        from normsearch.confirmation.test_evaluation import TestEvaluation

        trainer = TestEvaluation(trainer)
    far = door.config.search.checkpoints
    return data, RemoteTrainer(trainer, far) if far else trainer


def _first_split(config: StudyConfig, cases: list[Case]) -> Split:
    """The split of the study, of arms that take several folds in turn the first one's."""
    folds = config.space.folds if isinstance(config.space, ArmsConfig) else ()
    tasks = [config.task.model_copy(update={"test_folds": (fold,)}) for fold in folds]
    splits = [split_task(task, cases) for task in tasks or [config.task]]
    return splits[0]


def _tell_end(coordinator: Coordinator) -> None:
    """Say why a search ended before as many trials as were asked for."""
    config = coordinator.config
    if coordinator.stopping and not coordinator.done:
        say(f"Stopped; nothing is lost. Go on with: normsearch resume {config.name}")
    if coordinator.exhausted:
        say(
            f"The space is exhausted: it holds no further configuration, so the search ended "
            f"before {config.search.trials} trials."
        )


def _outcome(folder: Path, how: How, config: StudyConfig) -> None:
    from normsearch.cli.best import best_of
    from normsearch.storage.records import StudyRecord

    record = StudyRecord(folder, how.storage)
    if isinstance(config.space, ArmsConfig):
        tell_arms(record, how.as_json)
        return
    found = best_of(record)
    if how.as_json:
        print(json.dumps(found))
    elif found is None:
        show(f"No trial of {folder.name} was completed; see normsearch status {folder.name}")
    else:
        single = found["best_single_norm"]
        show(f"Best validation {record.metric} {_setting(found)}.")
        if single and single["number"] != found["number"]:
            show(f"Best single norm: {single['norm']}, {_setting(single)}.")
        show(f"See: normsearch best {folder.name}; normsearch report {folder.name}")


def _nothing_completed(folder: Path, how: How) -> StudyError:
    """Return the error of a run in which no trial was completed, which says why."""
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import trial_folder

    trials = StudyRecord(folder, how.storage).trials()
    failed = trials[trials["state"] == "FAIL"]
    reason = "every one was pruned"
    if len(failed):
        number, why = int(failed["number"].iloc[0]), failed["failure"].iloc[0]
        trace = trial_folder(folder, number) / "error.txt"
        told = f" (see {trace})" if is_file(trace) else ""
        reason = f"{len(failed)} of {len(trials)} failed, trial {number} of '{why}'{told}"
    return StudyError(
        f"{folder.name}: one trial at least must be completed, and none was: {reason}; mend the "
        "cause, then begin a new run."
    )


def _setting(found: dict[str, Any]) -> str:
    return (
        f"{found['score']:.3f} (trial {found['number']}, learning rate "
        f"{found['learning_rate']:.3g}, batch size {found['batch_size']})"
    )


def tell_arms(record: StudyRecord, as_json: bool) -> None:
    """Write what a study of fixed trainings shows into its folder, and print it."""
    from normsearch.cli.confirmed import show
    from normsearch.confirmation.export import plain, write_confirmation

    found = write_confirmation(record)
    if as_json:
        print(json.dumps(plain(found)))
    else:
        show(found)


def versions() -> dict[str, str]:
    """Return the versions of what a run depends on, and which kernels it uses."""
    names = ("normsearch", "torch", "optuna", "ray", "numpy", "pynrrd")
    found = {"python": platform.python_version(), **{name: version(name) for name in names}}
    return {**found, "kernels": kernels_in_use()}  # compiled now, before the workers ask for them
