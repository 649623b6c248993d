"""What `run` and `resume` share: checks at the door, the search, the last words."""

from __future__ import annotations

import json
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import typer

from normsearch.cli.progress import Progress
from normsearch.config import StudyConfig
from normsearch.data import SampleLoader, Split
from normsearch.networks import NormSlot, list_norms, use_checkpointing
from normsearch.search.space import Space
from normsearch.training import choose_loss
from normsearch.trial import (
    build_trial_network,
    check_fingerprint,
    in_channels,
    load_task,
    resolve_task,
    sampling_of,
    split_task,
    train_trial,
)


@dataclass(frozen=True)
class Door:
    """A study that passed every check: nothing of a run is made before there is one."""

    config: StudyConfig
    split: Split
    space: Space
    data: Path | None


@dataclass(frozen=True)
class How:
    """How a search is executed on this machine."""

    address: str | None
    workers: int | None
    local: bool
    as_json: bool
    storage: str | None


def check(config: StudyConfig, space_origin: str, data: Path | None, where: str) -> Door:
    """Read the data, build the network, lay the space over its slots.

    Raises:
        NormsearchError: the first thing that does not hold.
    """
    data = data.expanduser().resolve() if data else None
    config = config.model_copy(update={"task": resolve_task(config.task, data)})
    cases = load_task(config.task, data)
    fingerprint = check_fingerprint(cases, config.fingerprint, where)
    split = split_task(config.task, cases)
    space = Space(config.space, _slots(config, split), space_origin)
    config = config.model_copy(
        update={"fingerprint": fingerprint, "versions": config.versions or _versions()}
    )
    return Door(config, split, space, data)


@contextmanager
def resumable(name: str) -> Iterator[None]:
    """Turn Ctrl-C into exit code 130 and a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # settled: a second one stops nothing
        print(
            f"Interrupted; nothing is lost. Go on with: normsearch resume {name}", file=sys.stderr
        )
        raise typer.Exit(130) from None


def search(folder: Path, door: Door, how: How) -> None:
    """Search until as many trials as asked for are finished, show progress, print the outcome."""
    from normsearch.search.study import Coordinator

    config = door.config
    if config.task.validation == "training":
        print("Overfit check: scores are of the training cases and prove nothing.", file=sys.stderr)
    # The test cases stay here: what no worker has, no search can see.
    data = Split(train=door.split.train, validation=door.split.validation, test=())
    with Progress(config) as progress:
        coordinator = Coordinator(
            folder,
            config,
            door.space,
            storage_url=how.storage,
            listener=progress,
        )
        progress.begin(coordinator.states())
        if how.local:
            from normsearch.search.local import run_local

            run_local(coordinator, data, train_trial)
        else:
            from normsearch.search.executor import run_ray

            run_ray(
                coordinator,
                data,
                train_trial,
                resources=config.search.resources,
                workers=how.workers or config.search.workers,
                address=how.address,
            )
    _outcome(folder, how)


def _outcome(folder: Path, how: How) -> None:
    from normsearch.cli.best import best_of
    from normsearch.search.records import StudyRecord

    record = StudyRecord(folder, how.storage)
    found = best_of(record)
    if how.as_json:
        print(json.dumps(found))
    elif found is None:
        print(f"No trial of {folder.name} was completed; see normsearch status {folder.name}")
    else:
        print(
            f"Best validation {record.metric} {found['score']:.3f} (trial {found['number']}, "
            f"learning rate {found['learning_rate']:.3g}, batch size {found['batch_size']}).\n"
            f"See: normsearch best {folder.name}; normsearch report {folder.name}"
        )


def _slots(config: StudyConfig, split: Split) -> list[NormSlot]:
    sampling = sampling_of(config.task)
    SampleLoader(split.train, 1, 0, sampling=sampling)  # refuses samples of several shapes
    outputs = config.task.outputs
    choose_loss(config.training.loss, outputs, config.task.kind)  # refuses one of another task
    network = build_trial_network(config.network, in_channels(config.task, split.train), outputs)
    if config.training.checkpointing:
        use_checkpointing(network)
    if check_size := getattr(network, "check_size", None):
        for case in (*split.train, *split.validation):
            check_size(sampling.sample(case, 0)[0].shape[1:])
    return list_norms(network)


def _versions() -> dict[str, str]:
    names = ("normsearch", "torch", "optuna", "ray", "numpy", "pynrrd")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
