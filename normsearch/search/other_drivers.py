"""What other drivers of a run have finished and are training, for callbacks."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

from optuna.trial import FrozenTrial, TrialState

from normsearch.search.jobs import Callback, Event
from normsearch.storage.leases import Leases
from normsearch.storage.objectives import score
from normsearch.storage.trial_states import is_replicate, outcome, violated


def state_of(trial: FrozenTrial) -> tuple[int, str, float]:
    """Return number, state and final score; NaN if not COMPLETE, or if it exceeds a constraint."""
    return trial.number, outcome(trial), math.nan if violated(trial) else score(trial)


class OtherDrivers:
    """Sends an `Event` ``elsewhere`` when other drivers have finished or started trials.

    Args:
        leases: the leases of this driver.
        tell: called with the event.
    """

    def __init__(self, leases: Leases, tell: Callback) -> None:
        self._leases, self._tell = leases, tell
        self._known: set[int] = set()  # finished trials
        self._first = 0  # all trials before it are finished and known
        self._running = 0

    def own(self, number: int) -> None:
        """Note that this driver finished a trial."""
        self._known.add(number)

    def notice(self, trials: Sequence[FrozenTrial], live: Container[int]) -> None:
        """Send an event if anything is new in all `trials`; `live` are trained here."""
        found, running = [], 0
        for trial in trials[self._first :]:
            if trial.state.is_finished():
                if trial.number not in self._known:
                    found.append(trial)
            elif trial.state == TrialState.RUNNING and trial.number not in live:
                running += self._leases.holder(trial.number) not in (None, self._leases.owner)
        self._known.update(trial.number for trial in found)
        while self._first in self._known:
            self._known.remove(self._first)
            self._first += 1
        if found or running != self._running:
            self._running = running
            record = {
                "trials": [state_of(trial) for trial in found],
                "replicates": [trial.number for trial in found if is_replicate(trial)],
                "running": running,
            }
            self._tell(Event("elsewhere", -1, record))
