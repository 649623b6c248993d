"""The coordinator of a search: which trial is next, which driver trains it, and how it ended.

A `Coordinator` is one driver's view of the Optuna study. It uses neither Ray nor torch; all
executors call the same four methods. All state that must survive a crash is in the storage and
the lease log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import StudyConfig
from normsearch.errors import DiskFullError, GoneError, NormsearchError, StudyError
from normsearch.samplers.pruners import build_pruner
from normsearch.samplers.registry import build_sampler
from normsearch.search.claims import Claims
from normsearch.search.duplicates import Freshness, answer, find_original
from normsearch.search.identity import check_identity
from normsearch.search.jobs import Callback, Event, Job, OtherDrivers, seconds_left, trial_config
from normsearch.search.single_norms import SingleNormTuning
from normsearch.search.trial_faults import TrialFaults
from normsearch.search.trial_record import (
    LOST,
    TAKEN,
    choice_of,
    prepare_folder,
    record_choice,
    tell_end,
)
from normsearch.space.choice import Choice
from normsearch.space.initial_trials import Known, initial_trials
from normsearch.space.interface import AnySpace
from normsearch.storage.leases import LEASE_S, Leases
from normsearch.storage.objectives import directions, note, score, state_of, stops
from normsearch.storage.opening import lock_for_driver, open_storage, retrying
from normsearch.storage.optuna_access import stored
from normsearch.storage.race import Race
from normsearch.storage.remote_checkpoints import RemoteCheckpoints
from normsearch.storage.run_folder import trial_folder
from normsearch.storage.trial_states import REPLICATE_OF, is_repeat, is_replicate

MAX_FAULTS = 5


class Coordinator(TrialFaults):
    """One driver of a run.

    Args:
        folder: the run's folder; journal, leases and trials lie below it.
        config: the resolved study.
        space: the space of the trials' choices.
        storage_url: the storage, if it is not the journal file in the folder.
        listener: called with each `Event`.
        lease: seconds without a heartbeat after which a driver on another machine is dead.
    """

    def __init__(
        self,
        folder: Path,
        config: StudyConfig,
        space: AnySpace,
        *,
        storage_url: str | None = None,
        listener: Callback = lambda event: None,
        lease: float = LEASE_S,
    ) -> None:
        self.folder, self.config = folder, config
        self._space, self._listener = space, listener
        self.leases = self._make_leases(lease)
        self._live: dict[int, optuna.trial.Trial] = {}
        self._faults = 0
        self.interrupted: type[KeyboardInterrupt] | None = (
            None  # kept in case a library suppresses it
        )
        self.failure: NormsearchError | None = None  # the error that ends the search, likewise
        self._stopping = False
        self._last_fault: str | None = None
        far = config.search.checkpoints
        self._mirror = RemoteCheckpoints(far, config.name) if far else None
        self._lock = lock_for_driver(storage_url)
        try:
            self._study = retrying(self._open, storage_url)
        except NormsearchError:
            if self._lock is not None:
                self._lock.close()
            raise
        sampler = self._study.sampler
        tuning = SingleNormTuning(space, config.search, sampler, config.direction)
        self._freshness = Freshness(space, sampler, tuning)
        self._claims = Claims(self._study, self.leases, self._freshness, config, listener)
        self._race, self._others = Race(config, space), OtherDrivers(self.leases, listener)
        self.enqueue(initial_trials(config.search, space))

    def _make_leases(self, lease: float) -> Leases:
        return Leases(self.folder / "leases.log", lease=lease)

    def _open(self, url: str | None) -> optuna.Study:
        search = self.config.search
        study = optuna.create_study(
            storage=self._storage(url),
            study_name=self.config.name,
            directions=directions(self.config),
            pruner=build_pruner(search.pruner, self.config.training.evaluations),
            load_if_exists=True,
        )
        check_identity(study, self.config)
        # A driver that resumes a study must not repeat the draws of the one before it.
        seed = search.seed + len(study.get_trials(deepcopy=False))
        study.sampler = build_sampler(search, self._space, seed)
        return study

    def _storage(self, url: str | None) -> BaseStorage:
        return open_storage(self.folder, url)

    def enqueue(self, known: Sequence[Known]) -> None:
        """Enqueue configurations to be trained before new ones, unless the study has them."""
        if known:
            retrying(self._claims.enqueue, lambda trials: known)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def states(self) -> list[tuple[int, str, float]]:
        """Return (number, state, final score) of every trial.

        The score is NaN for trials that are not COMPLETE or that exceed a constraint.
        """
        return [state_of(trial) for trial in retrying(self._trials)]

    @property
    def live(self) -> int:
        """The trials that this driver is training now."""
        return len(self._live)

    @property
    def done(self) -> bool:
        """Whether as many trials as asked for are finished; see `Race.done`."""
        return self._race.done(retrying(self._trials), self._freshness.exhausted)

    @property
    def exhausted(self) -> bool:
        """Whether the space holds fewer configurations than trials were asked for."""
        return self._race.ended_early(retrying(self._trials), self._freshness.exhausted)

    def check_interrupt(self) -> None:
        """Raise the exception that ends the search, if a library suppressed it."""
        if self.interrupted:
            raise self.interrupted
        if self.failure:
            raise self.failure

    def request_stop(self) -> None:
        """Let each live trial run to its next evaluation point and stop there."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether this driver was asked to stop, here or by `normsearch stop`."""
        return self._stopping or self.leases.stopped

    def next_job(self) -> Job | None:
        """Return a trial to train, or None while other drivers finish the rest or a round.

        Interrupted trials come first, then enqueued ones, then a new one from the sampler. In the
        race only its own trials start.

        Raises:
            StudyError: the last `MAX_FAULTS` trials ended in an error of the program.
        """
        self.check_interrupt()
        if self._faults >= MAX_FAULTS:
            raise StudyError(
                f"{self.config.name}: the last {self._faults} trials failed ({self._last_fault}); "
                f"fix the cause, then `normsearch resume {self.config.name} --trials N`."
            )
        return retrying(self._next_job)

    def _next_job(self) -> Job | None:
        while True:
            trials, standing = self._claims.standing(self._race)
            self._others.notice(trials, self._live)
            trial_id = self._claims.next_trial(trials, standing, self._live)
            if trial_id is None:
                for number, reason in () if self._live else self._claims.waited_for(trials):
                    self._listener(Event("waiting", number, {"reason": reason}))
                return None
            if job := self._start(trial_id):
                return job  # else it was a repetition, now finished

    def _start(self, trial_id: int) -> Job | None:
        # Trial(...) of a running trial keeps its parameters, values and pruning rungs: parameters
        # that were suggested before get the same values again.
        trial = optuna.trial.Trial(self._study, trial_id)
        choice = choice_of(trial, self._space)
        if not record_choice(trial, choice, self._space):
            self._live[trial.number] = trial
            self._tell(trial.number, TrialState.FAIL, LOST)
            return None
        if is_replicate(trial):
            return self._job(trial, choice)
        original = find_original(self._claims.earlier_trials(trial.number), trial.number)
        if not is_repeat(trial):  # else it is known, and was noted
            self._freshness.note(repeated=original is not None)
        if original is not None:
            self._repeat(trial, original)
            return None
        return self._job(trial, choice)

    def _job(self, trial: optuna.trial.Trial, choice: Choice) -> Job:
        attributes = trial.user_attrs
        if (resumes := self.leases.epoch(trial.number) - 1) > attributes.get("resumes", 0):
            trial.set_user_attr("resumes", resumes)
        config = trial_config(self.config, trial.number, choice, attributes.get("baseline"))
        folder = trial_folder(self.folder, trial.number)
        token = f"{self.leases.epoch(trial.number)} {self.leases.owner}"
        prepare_folder(folder, config, token)
        if self._mirror:
            self._mirror.write_owner(trial.number, token)
        self._live[trial.number] = trial
        shown = {"baseline": config.baseline, "norm_map": choice.norm_map, **choice.values}
        if is_replicate(trial):
            shown[REPLICATE_OF] = attributes[REPLICATE_OF]
        self._listener(Event("started", trial.number, shown))
        return Job(config, folder, token, seconds_left(trial, self.config.search.time_limit))

    def _repeat(self, trial: optuna.trial.Trial, original: FrozenTrial) -> None:
        """Finish a repetition with its original's record; leave it while that is unfinished."""
        if answer(self._study, trial, original):
            reason = f"the same choice as trial {original.number}"
            record = {"state": "DUPLICATE", "score": score(original), "reason": reason}
            self._others.own(trial.number)
            self._listener(Event("finished", trial.number, record))
        self.leases.release(trial.number)

    def report(self, number: int, record: dict[str, Any]) -> bool:
        """Store one evaluation of a trial; return whether the pruner stops it here.

        A record that was stored before a crash is not stored again.
        """
        try:
            prune = retrying(self._report, number, record)
        except UpdateFinishedTrialError:
            return True  # another driver has finished it; `finish` then reports TAKEN
        self._listener(Event("evaluated", number, record))
        return prune

    def _report(self, number: int, record: dict[str, Any]) -> bool:
        trial, step = self._live[number], record["evaluation"]
        if not self._claims.ours(number):
            return True  # the next owner reports it; `finish` then says TAKEN
        known = stored(trial)
        if step not in known.intermediate_values:
            trial.set_user_attr(f"evaluation:{step}", record)
            note(trial, step, record["score"])
        elif step < max(known.intermediate_values) or "pruned_at" in known.user_attrs:
            return bool(known.user_attrs.get("pruned_at") == step)
        if step >= self.config.training.evaluations or not stops(trial):
            return False
        # A pruner may decide differently the next time, so its decision must survive a crash.
        trial.set_user_attr("pruned_at", step)
        return True

    def finish(
        self, number: int, state: TrialState, *, reason: str | None = None, fault: bool = False
    ) -> None:
        """Record in the storage how a trial ended, once a trial.

        COMPLETE stores the last reported score as the trial's value; without a score the trial
        becomes FAIL. A `fault` is a failure that the trial's choice does not explain: after
        `MAX_FAULTS` in a row `next_job` raises.
        """
        record = self._tell(number, state, reason)
        if record["state"] != "TAKEN":
            self._faults = self._faults + 1 if fault else 0
            self._last_fault = reason

    def _tell(self, number: int, state: TrialState, reason: str | None) -> dict[str, Any]:
        trial = self._live[number]
        record = retrying(self._finish, trial, state, reason)
        del self._live[number]
        if record is not TAKEN:
            self._others.own(number)
        self._others.notice(retrying(self._trials), self._live)
        self._listener(Event("finished", number, record))
        return record

    def _finish(
        self, trial: optuna.trial.Trial, state: TrialState, reason: str | None
    ) -> dict[str, Any]:
        if not self._claims.ours(trial.number):
            return TAKEN
        folder = trial_folder(self.folder, trial.number)
        about = (self.config, folder, self._mirror)
        return tell_end(self._study, trial, state, reason, *about)

    def close(self) -> None:
        """Release every unfinished trial: it stays RUNNING in the storage, and can be resumed."""
        try:
            for number in list(self._live):
                self.give_back(number)
            retrying(self.leases.leave)
        except (DiskFullError, GoneError) as error:
            # Nothing can be written any more. The leases expire by themselves.
            self.leases.abandon()
            self.failure = self.failure or error
        finally:
            if self._lock is not None:
                self._lock.close()
