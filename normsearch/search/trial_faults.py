"""Handling of trials interrupted by a dead worker, a deleted folder or a full disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from normsearch.errors import GoneError, NormsearchError, TakenError
from normsearch.search.claims import Claims
from normsearch.search.jobs import Callback, Event
from normsearch.search.trial_record import TAKEN, count_death, count_deletion, count_neighbour
from normsearch.storage.leases import Leases
from normsearch.storage.opening import retrying
from normsearch.storage.optuna_access import stored

MAX_CRASHES = 3  # workers a trial may lose before it counts as failed
MAX_DELETIONS = 3  # of its folder, after which a trial is not restarted


class TrialFaults:
    """The part of a coordinator that handles interrupted trials."""

    folder: Path
    leases: Leases
    failure: NormsearchError | None
    _study: optuna.Study
    _claims: Claims
    _live: dict[int, Trial]
    _listener: Callback

    def finish(
        self, number: int, state: TrialState, *, reason: str | None = None, fault: bool = False
    ) -> None:
        """Record how a trial ended."""
        raise NotImplementedError

    def crashed(self, number: int, reason: str) -> None:
        """Release a trial whose worker died; after `MAX_CRASHES` without progress, fail it.

        A trial that makes progress between the deaths of its workers (preemption) does not fail.
        """
        deaths = self._count(count_death, number)
        if deaths > MAX_CRASHES:
            reason = f"{deaths} workers died: {reason}"
            self.finish(number, TrialState.FAIL, reason=reason, fault=True)
        else:
            self.give_back(number)

    def training_failed(self, number: int, reason: str) -> None:
        """Fail a trial whose training cannot continue.

        One that lacked memory because of other processes on the GPU is first released once, to be
        resumed from its checkpoint.
        """
        if reason.startswith("neighbour:") and self._count(count_neighbour, number) == 1:
            self.give_back(number, "since other processes took its share of the GPU's memory")
        else:
            self.finish(number, TrialState.FAIL, reason=reason)

    def storage_failed(self, number: int, fault: NormsearchError) -> None:
        """Release a trial whose files cannot be used; end the search if all trials are affected.

        A trial that another driver has taken over is dropped. A trial whose folder was deleted is
        restarted, at most `MAX_DELETIONS` times.

        Raises:
            DiskFullError: `fault`.
            GoneError: `fault`, if the run's folder is gone.
        """
        if isinstance(fault, TakenError):
            if self._claims.ours(number):
                self.leases.release(number)
            self._live.pop(number, None)
            self._listener(Event("finished", number, TAKEN))
        elif isinstance(fault, GoneError) and self.folder.is_dir():
            if (times := self._count(count_deletion, number)) > MAX_DELETIONS:
                reason = f"its folder was deleted {times} times"
                self.finish(number, TrialState.FAIL, reason=reason, fault=True)
            else:
                self.give_back(number, "since its folder was deleted")
        else:
            self.failure = fault
            raise fault

    def _count(self, count: Callable[..., int], number: int) -> int:
        trial = self._live[number]
        known = retrying(stored, trial)
        try:
            return retrying(count, trial, known)
        except UpdateFinishedTrialError:
            return 0

    def give_back(self, number: int, reason: str | None = None) -> None:
        """Release an unfinished trial: it stays RUNNING in the storage, and can be resumed."""
        retrying(self.leases.release, number)
        del self._live[number]
        self._listener(Event("finished", number, {"state": "INTERRUPTED", "reason": reason}))
