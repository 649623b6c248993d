"""Jobs, which a coordinator hands to an executor, and events, which it sends to callbacks."""

from __future__ import annotations

import traceback
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import StudyConfig, TrialConfig
from normsearch.config.study import OF_TRIAL
from normsearch.errors import DiskFullError, GoneError, NormsearchError, TakenError
from normsearch.files import disk_full, is_disk_full, write_text
from normsearch.samplers.unread import Unread
from normsearch.space.choice import Choice
from normsearch.storage.leases import Leases
from normsearch.storage.objectives import state_of
from normsearch.storage.trial_states import is_replicate


@dataclass(frozen=True)
class Job:
    """A trial to train: its configuration, its folder, and the token that proves the lease."""

    config: TrialConfig
    folder: Path
    token: str
    seconds: float | None = None  # left to train, if the study has a time limit


@dataclass(frozen=True)
class Event:
    """An event of a search, for callbacks: a trial ``started``, ``evaluated`` or ``finished``.

    The first event of a driver is ``began``, with number -1. Its record holds ``trials``, the
    (number, state, score or NaN) of every trial, ``asked``, the number of trials to train, and
    ``notes``, sentences on what the task does to the images, what was chosen and what it costs.
    When a confirmation in looks was ``judged``, or the end of a search with a budget (number -1),
    the record holds ``asked`` again, and ``notes``, sentences on what is decided, what is open and
    what it will cost; that of a search also ``race``, the number of the race's trials. A trial is
    ``waiting`` if another driver may still hold it and nothing else is left to train.

    ``elsewhere`` (number -1) tells of the other drivers of the run: ``trials`` that they have
    finished, as in ``began``, the numbers of those that are ``replicates``, and how many are
    ``running``.
    """

    kind: Literal["began", "started", "evaluated", "finished", "waiting", "judged", "elsewhere"]
    number: int
    record: dict[str, Any]


class Callback(Protocol):
    """A function that is called with each event of a run."""

    def __call__(self, event: Event, /) -> None:
        """Handle an event."""


def trial_config(
    study: StudyConfig, number: int, choice: Choice, baseline: str | None
) -> TrialConfig:
    """Return the complete configuration of a study's trial that chose `choice`."""
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
        loader_workers=study.search.resources.loader_workers,
        fingerprint=study.fingerprint,
        sample_shape=study.sample_shape,
        geometry=study.geometry,
        versions=study.versions,
        network_digest=study.network_digest,
    )


def fault_of_storage(error: Exception, folder: Path) -> NormsearchError | None:
    """Return the cause of an error that is not the training's own, None for other errors.

    Such causes are a full disk, a lease taken over by another driver, and a deleted folder.
    """
    if isinstance(error, DiskFullError | TakenError | GoneError):
        return error
    if is_disk_full(error):
        return disk_full(folder)
    if isinstance(error, OSError) and not folder.exists():
        return GoneError(f"{folder}: must stay while its trial is trained, and was deleted.")
    return None


def write_trace(folder: Path) -> None:
    """Write the traceback of the current exception to FOLDER/error.txt."""
    with suppress(DiskFullError, OSError):
        write_text(folder / "error.txt", traceback.format_exc())


def seconds_left(trial: optuna.trial.Trial, limit: float | None) -> float | None:
    """Return the seconds left of a time limit after the evaluations that `trial` has."""
    if limit is None:
        return None
    records = [v for k, v in trial.user_attrs.items() if k.startswith("evaluation:")]
    return float(limit - max((record["seconds"] for record in records), default=0.0))


class OtherDrivers:
    """Sends an `Event` ``elsewhere`` when other drivers have finished or started trials.

    Args:
        leases: the leases of this driver.
        tell: called with the event.
    """

    def __init__(self, leases: Leases, tell: Callback) -> None:
        self._leases, self._tell = leases, tell
        self._unread = Unread()
        self._running = 0

    def own(self, number: int) -> None:
        """Note that this driver finished a trial."""
        self._unread.add(number)

    def notice(self, trials: Sequence[FrozenTrial], live: Container[int]) -> None:
        """Send an event if anything is new in all `trials`; `live` are trained here."""
        found = list(self._unread.finished(trials))
        others = [
            trial
            for trial in self._unread.of(trials)
            if trial.state == TrialState.RUNNING and trial.number not in live
        ]
        ours = None, self._leases.owner
        running = sum(self._leases.holder(trial.number) not in ours for trial in others)
        if found or running != self._running:
            self._running = running
            record = {
                "trials": [state_of(trial) for trial in found],
                "replicates": [trial.number for trial in found if is_replicate(trial)],
                "running": running,
            }
            self._tell(Event("elsewhere", -1, record))
