"""The one truth of a search: which trial is next, who trains it, what it is told at the end.

A `Coordinator` is one driver's view of the Optuna study. It knows neither Ray nor torch; the
bridge to Ray Tune and the local loop call the same four methods. Everything it must remember
across a crash lies in the storage and in the lease log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import StudyConfig
from normsearch.errors import NormsearchError, StudyError
from normsearch.files import write_text
from normsearch.search.identity import check_identity
from normsearch.search.jobs import Event, Job, seconds_left, trial_config
from normsearch.search.known_points import Known, known_points
from normsearch.search.leases import Leases
from normsearch.search.mirror import Mirror
from normsearch.search.objectives import directions, final_values, note, score, should_prune
from normsearch.search.outcomes import forbid, is_repeat, outcome
from normsearch.search.pruners import build_pruner
from normsearch.search.repeats import Freshness, answer, find_twin
from normsearch.search.run_folder import trial_folder
from normsearch.search.samplers import build_sampler, how_drawn
from normsearch.search.single_norms import SingleNormTuning
from normsearch.search.space import AnySpace
from normsearch.search.storage import lock_for_driver, open_storage, retrying
from normsearch.search.taking import Taking

MAX_FAULTS = 5
MAX_CRASHES = 3  # workers a trial may lose before it counts as failed
_ENQUEUEING = -1  # the lease under which one driver enqueues what is known


class Coordinator:
    """One driver of a run.

    Args:
        folder: the run's folder; journal, leases and trials lie below it.
        config: the resolved study.
        space: what trials choose from.
        storage_url: the storage, if it is not the journal file in the folder.
        listener: called with each `Event`.
    """

    def __init__(
        self,
        folder: Path,
        config: StudyConfig,
        space: AnySpace,
        *,
        storage_url: str | None = None,
        listener: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.folder, self.config = folder, config
        self._space, self._listener = space, listener
        self.leases = Leases(folder / "leases.log")
        self._live: dict[int, optuna.trial.Trial] = {}
        self._faults = 0
        self.interrupted: type[KeyboardInterrupt] | None = None  # in case a library swallows it
        self.failure: NormsearchError | None = None  # what ends the search, for the same reason
        self._stopping = False
        self._last_fault: str | None = None
        far = config.search.checkpoints
        self._mirror = Mirror(far, config.name) if far else None
        self._lock = lock_for_driver(storage_url)
        try:
            self._study = retrying(self._open, storage_url)
        except NormsearchError:
            if self._lock is not None:
                self._lock.close()
            raise
        sampler = self._study.sampler
        tuning = SingleNormTuning(space, config.search, sampler)
        self._fresh = Freshness(space, sampler, tuning)
        self._taking = Taking(self._study, self.leases, self._fresh)
        self.enqueue(known_points(config.search, space))

    def _open(self, url: str | None) -> optuna.Study:
        search = self.config.search
        study = optuna.create_study(
            storage=open_storage(self.folder, url),
            study_name=self.config.name,
            directions=directions(search),
            pruner=build_pruner(search.pruner, self.config.training.evaluations),
            load_if_exists=True,
        )
        check_identity(study, self.config)
        # A driver that goes on with a study must not repeat the draws of the one before it.
        seed = search.seed + len(study.get_trials(deepcopy=False))
        study.sampler = build_sampler(search, self._space, seed)
        return study

    def enqueue(self, known: Sequence[Known]) -> None:
        """Let known configurations be trained before new ones; those that are there stay alone."""
        retrying(self._enqueue, known)

    def _enqueue(self, known: Sequence[Known]) -> None:
        if not known or not self._taking.take(_ENQUEUEING):
            return  # another driver is at it
        present = [trial.user_attrs for trial in self._trials()]
        for params, origin in known:
            if not any(origin.items() <= attributes.items() for attributes in present):
                self._study.enqueue_trial(params, user_attrs=origin)
        self.leases.release(_ENQUEUEING)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def states(self) -> list[tuple[int, str, float]]:
        """Return (number, state, final score or NaN) of every trial there is."""
        return [(trial.number, outcome(trial), score(trial)) for trial in retrying(self._trials)]

    @property
    def live(self) -> int:
        """Trials this driver is training now."""
        return len(self._live)

    @property
    def done(self) -> bool:
        """Whether as many trials as asked for are finished (COMPLETE, PRUNED or FAIL).

        Repetitions do not count, but must be answered; see `asked`.
        """
        trials = retrying(self._trials)
        finished = sum(trial.state.is_finished() and not is_repeat(trial) for trial in trials)
        open_repeats = (is_repeat(trial) and not trial.state.is_finished() for trial in trials)
        return finished >= self._asked(trials) and not any(open_repeats)

    @property
    def exhausted(self) -> bool:
        """Whether the space holds fewer configurations than trials were asked for."""
        return self._asked(retrying(self._trials)) < self.config.search.trials

    def _asked(self, trials: Sequence[FrozenTrial]) -> int:
        if self._fresh.exhausted:
            return sum(not is_repeat(trial) for trial in trials)
        wanted = self.config.search.trials
        return min(wanted, self._space.size or wanted)

    def check_interrupt(self) -> None:
        """Raise what ends the search, if it came and the exception got lost on its way."""
        if self.interrupted:
            raise self.interrupted
        if self.failure:
            raise self.failure

    def request_stop(self) -> None:
        """Let each live trial go on to its next evaluation point and no further."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether this driver was asked to stop, here or by `normsearch stop`."""
        return self._stopping or self.leases.stopped

    def next_job(self) -> Job | None:
        """Return a trial to train, or None while the others are for somebody else to finish.

        Interrupted trials come first, then enqueued ones, then a new one from the sampler.

        Raises:
            StudyError: the last `MAX_FAULTS` trials ended in an error of the program.
        """
        self.check_interrupt()
        if self._faults >= MAX_FAULTS:
            raise StudyError(
                f"{self.config.name}: the last {self._faults} trials failed ({self._last_fault}); "
                f"mend the cause, then `normsearch resume {self.config.name} --trials N`."
            )
        return retrying(self._next_job)

    def _next_job(self) -> Job | None:
        while True:
            trials = self._trials()
            trial_id = self._taking.next_trial(trials, self._asked(trials), self._live)
            if trial_id is None:
                return None
            if job := self._start(trial_id):
                return job  # else it was a repetition, and is answered

    def _start(self, trial_id: int) -> Job | None:
        # Trial(...) on a running trial keeps its parameters, values and pruning rungs, so that
        # the questions it was already asked get the answers it already gave.
        trial = optuna.trial.Trial(self._study, trial_id)
        choice = self._space.suggest(trial)
        attributes = trial.user_attrs
        if "norm_map" not in attributes:
            trial.set_user_attr("norm_map", choice.norm_map)
            trial.set_user_attr("values", choice.values)
            trial.set_user_attr("drawn", how_drawn(self._study.sampler, trial))
            if single := self._space.single_norm(choice.norm_map):
                trial.set_user_attr("single_norm", single)
        twin = find_twin(self._taking.known_before(trial.number), trial.number)
        self._fresh.note(repeated=twin is not None)
        if twin is not None:
            self._repeat(trial, twin)
            return None
        if (resumes := self.leases.epoch(trial.number) - 1) > attributes.get("resumes", 0):
            trial.set_user_attr("resumes", resumes)
        config = trial_config(self.config, trial.number, choice, attributes.get("baseline"))
        folder = trial_folder(self.folder, trial.number)
        token = f"{self.leases.epoch(trial.number)} {self.leases.owner}"
        write_text(folder / "owner", token)
        if self._mirror:
            self._mirror.write_owner(trial.number, token)
        if not (folder / "trial.json").exists():
            config.write(folder / "trial.json")
        self._live[trial.number] = trial
        shown = {"baseline", "learning_rate", "batch_size", "norm_map"}
        self._listener(Event("started", trial.number, config.model_dump(include=shown)))
        return Job(config, folder, token, seconds_left(trial, self.config.search.time_limit))

    def _repeat(self, trial: optuna.trial.Trial, twin: FrozenTrial) -> None:
        """Answer a repetition from its twin's record, or leave it until the twin is finished."""
        if answer(self._study, trial, twin):
            reason = f"the same choice as trial {twin.number}"
            record = {"state": "DUPLICATE", "score": score(twin), "reason": reason}
            self._listener(Event("finished", trial.number, record))
        self.leases.release(trial.number)

    def report(self, number: int, record: dict[str, Any]) -> bool:
        """Store one evaluation of a trial; True if the pruner says it should stop here.

        A record that was stored before the last crash changes nothing.
        """
        prune = retrying(self._report, number, record)
        self._listener(Event("evaluated", number, record))
        return prune

    def _report(self, number: int, record: dict[str, Any]) -> bool:
        trial, step = self._live[number], record["evaluation"]
        if not self._taking.ours(number):
            return True  # the next owner reports it; `finish` then says TAKEN
        known = self._study._storage.get_trial(trial._trial_id)
        if step not in known.intermediate_values:
            trial.set_user_attr(f"evaluation:{step}", record)
            note(trial, step, record["score"])
        elif step < max(known.intermediate_values) or "pruned_at" in known.user_attrs:
            return bool(known.user_attrs.get("pruned_at") == step)
        if step >= self.config.training.evaluations or not should_prune(trial):
            return False
        # Baselines are asked too, so that they compete in the pruner's rungs, but run to the end:
        # a comparison at unequal budgets would be none.
        if "baseline" in trial.user_attrs:
            return False
        # A pruner does not answer twice alike; a crash before the tell must not lose its answer.
        trial.set_user_attr("pruned_at", step)
        return True

    def finish(
        self, number: int, state: TrialState, *, reason: str | None = None, fault: bool = False
    ) -> None:
        """Tell the study how a trial ended; the only place that does, once a trial.

        COMPLETE takes the last reported score as its value; without a score it becomes FAIL. A
        `fault` is a failure that the trial's choice does not explain: after `MAX_FAULTS` in a row
        `next_job` refuses to spend more trials on it.
        """
        trial = self._live.pop(number)
        record = retrying(self._finish, trial, state, reason)
        if record["state"] != "TAKEN":
            self._faults = self._faults + 1 if fault else 0
            self._last_fault = reason
        self._listener(Event("finished", number, record))

    def _finish(
        self, trial: optuna.trial.Trial, state: TrialState, reason: str | None
    ) -> dict[str, Any]:
        if not self._taking.ours(trial.number):
            return {"state": "TAKEN"}  # another driver went on with it, and will tell its end
        known = self._study._storage.get_trial(trial._trial_id)
        values, last_step = known.intermediate_values, self.config.training.evaluations
        if state == TrialState.COMPLETE and math.isnan(values.get(last_step, math.nan)):
            state, reason = TrialState.FAIL, "no validation case has a score"
        if reason:
            trial.set_user_attr("failure", reason)
        told = forbid(trial) if (reason or "").startswith("memory:") else state
        # The weights of a trial that did not complete are a model nobody will ask for.
        names = ("checkpoint-previous.pt", "checkpoint.pt")
        for name in names if state != TrialState.COMPLETE else names[:1]:
            (trial_folder(self.folder, trial.number) / name).unlink(missing_ok=True)
        if self._mirror:
            here = trial_folder(self.folder, trial.number)
            self._mirror.settle(trial.number, here, keep=state == TrialState.COMPLETE)
        self._study.tell(
            trial.number,
            final_values(known, self.config.search) if state == TrialState.COMPLETE else None,
            state=told,
            skip_if_finished=True,
        )
        last = values[max(values)] if values else math.nan
        return {"state": state.name, "score": last, "reason": reason}

    def crashed(self, number: int, reason: str) -> None:
        """Give back a trial whose worker died; after `MAX_CRASHES` without progress it failed.

        A trial that gets on between the deaths of its workers (preempted ones) goes on for ever.
        """
        trial = self._live[number]
        known = retrying(self._study._storage.get_trial, trial._trial_id)
        reached = max(known.intermediate_values, default=0)
        at, crashes = known.user_attrs.get("crashes_at", [reached, 0])
        crashes = crashes + 1 if at == reached else 1
        retrying(trial.set_user_attr, "crashes_at", [reached, crashes])
        retrying(trial.set_user_attr, "crashes", known.user_attrs.get("crashes", 0) + 1)
        if crashes > MAX_CRASHES:
            reason = f"{crashes} workers died: {reason}"
            self.finish(number, TrialState.FAIL, reason=reason, fault=True)
        else:
            self.give_back(number)

    def give_back(self, number: int) -> None:
        """Release an unfinished trial: RUNNING in the storage, free to go on with."""
        del self._live[number]
        retrying(self.leases.release, number)
        self._listener(Event("finished", number, {"state": "INTERRUPTED"}))

    def close(self) -> None:
        """Give back every unfinished trial: RUNNING in the storage, free to go on with."""
        for number in list(self._live):
            self.give_back(number)
        retrying(self.leases.leave)
        if self._lock is not None:
            self._lock.close()
