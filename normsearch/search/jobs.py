"""What a coordinator hands out and tells: a trial to train, an event to show."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import optuna

from normsearch.config import StudyConfig, TrialConfig
from normsearch.config.study import OF_TRIAL
from normsearch.errors import DiskFullError, GoneError, NormsearchError, TakenError
from normsearch.files import disk_full, is_disk_full, write_text
from normsearch.space.choice import Choice


@dataclass(frozen=True)
class Job:
    """A trial to train: its configuration, its folder, and the token that proves the lease."""

    config: TrialConfig
    folder: Path
    token: str
    seconds: float | None = None  # left to train, if the study has a time limit


@dataclass(frozen=True)
class Event:
    """Something a callback may show: a trial ``started``, ``evaluated`` or ``finished``.

    The first event of a driver is ``began``, with number -1 and in ``trials`` the (number, state,
    score or NaN) of every trial there is. A trial is ``waiting`` where another driver may hold it
    still and nothing else is to be trained.
    """

    kind: Literal["began", "started", "evaluated", "finished", "waiting"]
    number: int
    record: dict[str, Any]


class Callback(Protocol):
    """What a run tells its events."""

    def __call__(self, event: Event, /) -> None:
        """Take in an event."""


def trial_config(
    study: StudyConfig, number: int, choice: Choice, baseline: str | None
) -> TrialConfig:
    """Return the whole configuration of a study's trial that chose `choice`."""
    return TrialConfig(
        study=study.name,
        trainer=study.trainer,
        number=number,
        task=choice.task(study.task),
        network=choice.network(study.network),
        training=choice.training(study.training),
        norm_map=choice.norm_map,
        arm=choice.arm,
        **choice.given(OF_TRIAL),
        baseline=baseline,
        device="cuda" if study.search.resources.gpu else "cpu",
        gpu_share=min(1.0, study.search.resources.gpu or 1.0),
        threads=study.search.resources.cpu,
        fingerprint=study.fingerprint,
        sample_shape=study.sample_shape,
        geometry=study.geometry,
        versions=study.versions,
        network_digest=study.network_digest,
    )


def fault_of_storage(error: Exception, folder: Path) -> NormsearchError | None:
    """Return what an error of a training is, if it is none of the training's own.

    That is a full disk, a lease that is another driver's by now, or a deleted folder.
    """
    if isinstance(error, DiskFullError | TakenError | GoneError):
        return error
    if is_disk_full(error):
        return disk_full(folder)
    if isinstance(error, OSError) and not folder.exists():
        return GoneError(f"{folder}: must stay while its trial is trained, and was deleted.")
    return None


def write_trace(folder: Path) -> None:
    """Write the exception that is handled now to FOLDER/error.txt, for whoever mends it."""
    with suppress(DiskFullError, OSError):
        write_text(folder / "error.txt", traceback.format_exc())


def seconds_left(trial: optuna.trial.Trial, limit: float | None) -> float | None:
    """Return what is left of a time limit after the evaluations that `trial` has already."""
    if limit is None:
        return None
    records = [v for k, v in trial.user_attrs.items() if k.startswith("evaluation:")]
    return float(limit - max((record["seconds"] for record in records), default=0.0))
