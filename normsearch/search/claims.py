"""Claims: the next trial of a driver, which no other driver trains, and never too many."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import StudyConfig
from normsearch.search.duplicates import Freshness, waits
from normsearch.search.jobs import Callback, Event
from normsearch.space.initial_trials import Known
from normsearch.storage.ending import Ending
from normsearch.storage.leases import Leases
from normsearch.storage.optuna_access import begin, state_now, storage_id
from normsearch.storage.race import Race, Standing
from normsearch.storage.search_end import SearchEnd, sentence
from normsearch.storage.trial_states import is_repeat

_CHOOSING_S = 10.0  # time for another driver to record a choice, which takes well below 1 s
_LOOK_S = 0.1
_ENQUEUEING = -1  # the lease under which one driver enqueues initial trials


class Claims:
    """Claims trials of a study for one driver.

    Args:
        study: the Optuna study.
        leases: the leases of this driver.
        fresh: chooses the sampler of a new trial.
        config: of the study, whose limits end the search.
        tell: called with an `Event` ``judged`` when its end is decided.
    """

    def __init__(
        self, study: Study, leases: Leases, fresh: Freshness, config: StudyConfig, tell: Callback
    ) -> None:
        self._study, self._leases, self._fresh = study, leases, fresh
        self._ending = Ending(study, leases, config, partial(_tell_end, config, tell))
        self._waited_for = set[str]()

    def take(self, number: int) -> bool:
        """Try to become the holder of a trial, or of the right to create it."""
        # Held by us but not live: a storage fault interrupted the last attempt to start it.
        return self.ours(number) or self._leases.claim(number)

    def ours(self, number: int) -> bool:
        """Whether this driver holds a trial."""
        return self._leases.holder(number) == self._leases.owner

    def enqueue(self, choose: Callable[[Sequence[FrozenTrial]], Sequence[Known]]) -> None:
        """Enqueue the configurations that `choose` returns for all trials, each once.

        They are trained before new ones.
        """
        if not self.take(_ENQUEUEING):
            return  # another driver does it
        trials = self._study.get_trials(deepcopy=False)
        present = [trial.user_attrs for trial in trials]
        for params, origin in choose(trials):
            if not any(origin.items() <= attributes.items() for attributes in present):
                self._study.enqueue_trial(params, user_attrs=origin)
        self._leases.release(_ENQUEUEING)

    def waited_for(self, trials: Sequence[FrozenTrial]) -> Iterator[tuple[int, str]]:
        """Yield a trial of each host whose drivers show only heartbeats, and why it waits."""
        for trial in trials:
            running = trial.state == TrialState.RUNNING
            host = self._leases.unsure(trial.number) if running else None
            if host is not None and host not in self._waited_for:
                self._waited_for.add(host)
                yield (
                    trial.number,
                    f"a driver on {host} holds it; it resumes here if that driver sends no "
                    f"heartbeat for {self._leases.lease:g} s",
                )

    def standing(self, race: Race) -> tuple[list[FrozenTrial], Standing]:
        """Return all trials and how far the search is, once a round that is due is enqueued."""
        exhausted = self._fresh.exhausted
        trials = self._study.get_trials(deepcopy=False)
        self._ending.settle(race, trials, exhausted)
        now = race.standing(trials, exhausted)
        if now.due:
            self.enqueue(partial(race.next_round, exhausted=exhausted))
            trials = self._study.get_trials(deepcopy=False)
            now = race.standing(trials, exhausted)
        return trials, now

    def next_trial(
        self, trials: Sequence[FrozenTrial], standing: Standing, live: Container[int]
    ) -> int | None:
        """Claim an interrupted trial, else a waiting one, else a new one; return its storage id.

        None if there is none now, or if as many as asked for have started. In the race no new one
        is created, and of the waiting ones only its own start. `live` are trained here already.
        """
        for trial in trials:
            interrupted = trial.state == TrialState.RUNNING and trial.number not in live
            if not interrupted or waits(trial, trials):
                continue
            if self.take(trial.number) and self._still_running(trial):
                return storage_id(trial)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        begun = sum(not is_repeat(t) for t in trials) - sum(map(self._unclaimed, waiting))
        if begun >= standing.wanted:
            return None
        if not standing.searching:
            own = standing.numbers
            return self._waiting([trial for trial in waiting if trial.number in own])
        found = self._waiting(waiting)
        return self._new(trials) if found is None else found

    def _waiting(self, waiting: Sequence[FrozenTrial]) -> int | None:
        for trial in waiting:
            if self.take(trial.number):
                if begin(self._study, trial):
                    return storage_id(trial)
                self._leases.release(trial.number)
        return None

    def _new(self, trials: Sequence[FrozenTrial]) -> int | None:
        # The number is claimed before the trial exists. So a crash leaves no trial without an
        # owner, and two drivers never create more trials than were asked for.
        if self.take(len(trials)):
            self._study.sampler = self._fresh.sampler(trials)
            asked = self._study.ask()
            if asked.number == len(trials):
                return storage_id(asked)
        return None

    def earlier_trials(self, number: int) -> list[FrozenTrial]:
        """Return all trials once other drivers have recorded what the earlier ones chose.

        If two drivers make the same choice at the same time, the later one then sees it.
        """
        until = time.monotonic() + _CHOOSING_S
        while True:
            trials = self._study.get_trials(deepcopy=False)
            choosing = any(map(self._choosing, trials[:number]))
            if not choosing or time.monotonic() > until:
                return trials
            time.sleep(_LOOK_S)

    def _choosing(self, trial: FrozenTrial) -> bool:
        begun = trial.state == TrialState.RUNNING and "values" not in trial.user_attrs
        return begun and not self._unclaimed(trial)

    def _unclaimed(self, trial: FrozenTrial) -> bool:
        return self._leases.holder(trial.number) in (None, self._leases.owner)

    def _still_running(self, trial: FrozenTrial) -> bool:
        return state_now(self._study, trial) == TrialState.RUNNING


def _tell_end(config: StudyConfig, tell: Callback, end: SearchEnd) -> None:
    about = {"asked": end.asked, "race": end.race, "notes": [sentence(end, config)]}
    tell(Event("judged", -1, about))
