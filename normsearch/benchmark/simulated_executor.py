"""Replays a search method on a recorded table, with virtual workers and a virtual clock.

Each evaluation point ends at the time in the table. Coordinator, samplers, pruners and spaces are
those of `normsearch run`. Of a table with several seeds, a training is served with one of them, and
what the method recommends is judged by seeds that it has not seen (`Replicates`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
import optuna
from optuna.trial import TrialState

from normsearch.benchmark.memory import CoordinatorInMemory
from normsearch.benchmark.replicates import Replicates
from normsearch.benchmark.table import Table
from normsearch.config import SearchConfig
from normsearch.space.layered import Space
from normsearch.storage.ranking import rank

P = ParamSpec("P")
R = TypeVar("R")
Outcome = Literal["complete", "stopped", "failed"]
_STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Method(Protocol):
    """The interface of a search method. Steps are evaluation points, counted from 1."""

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        """Return a new trial's number and its choice, or None if there is nothing new to try."""

    def report(self, number: int, step: int, score: float) -> bool:
        """Report an evaluation other than the last; return True to stop the trial."""

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Finish a trial at `step` with `score`; return whether it may become the best."""


@runtime_checkable
class RecommendingMethod(Method, Protocol):
    """A search method that says itself which choice it recommends, such as by a model."""

    def recommended(self) -> tuple[str, ...] | None:
        """Return the choice that the method would recommend now; None if there is none yet."""


class OptunaMethod:
    """The search of `normsearch run`, with a coordinator in memory.

    Args:
        space: the search space; its units are the table's stages.
        search: sampler, pruner, baselines and seed; the number of trials is ignored, unless there
            is a race.
        samples: samples seen at each evaluation point of a trial, as in `Table.samples`.
    """

    def __init__(self, space: Space, search: SearchConfig, samples: Sequence[int]) -> None:
        self._samples = samples
        self.coordinator = CoordinatorInMemory(space, search, samples)
        self.slots = [unit.slots[0].name for unit in space.units]

    @property
    def study(self) -> optuna.Study:
        """The study, with all its trials."""
        return self.coordinator.study

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        """Return a new trial's number and its norm in each unit."""
        if (job := self.coordinator.next_job()) is None:
            return None
        return job.config.number, tuple(job.config.norm_map[slot] for slot in self.slots)

    def report(self, number: int, step: int, score: float) -> bool:
        """Report to the storage, then ask the pruner."""
        record = {"evaluation": step, "score": score, "samples": self._samples[step - 1]}
        return self.coordinator.report(number, record)

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Finish the trial in the study; the user may choose only complete trials."""
        reason = "nan: no score is in the table" if outcome == "failed" else None
        if outcome == "complete":
            self.report(number, step, score)
        self.coordinator.finish(number, _STATES[outcome], reason=reason)
        return outcome == "complete"


class RacingMethod(OptunaMethod):
    """The search of `normsearch run` with a race at its end; `search` says of how many trials.

    Until a round is finished, it recommends the trial with the highest score.
    """

    def recommended(self) -> tuple[str, ...] | None:
        """Return the norm in each unit of the recommended trial."""
        trials = self.study.get_trials(deepcopy=False)
        best = next(iter(rank(trials, self.coordinator.config.direction)), None)
        if best is None:
            return None
        norm_map = trials[best].user_attrs["norm_map"]
        return tuple(norm_map[slot] for slot in self.slots)


@dataclass
class Replay:
    """The results of a simulated search.

    Attributes:
        spent: samples trained by all workers together when each trial finished, ascending.
        regret: the table's best mean final score minus the truth of the recommended choice at the
            same moments: its mean over the seeds that the search was not given.
        outcomes: the number of trials by outcome.
        seconds: virtual seconds until the last trial finished.
        utilisation: share of the workers' time spent training, 0 to 1, until the last trial was
            assigned; after that, workers are idle because there are no more trials.
        driver_seconds: time of the method's calls by `clock`.
    """

    spent: list[int] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    utilisation: float = 0.0
    driver_seconds: float = 0.0

    def at(self, budget: int) -> float:
        """Return the regret after `budget` samples; NaN before the first trial finished."""
        finished = int(np.searchsorted(self.spent, budget, side="right"))
        return self.regret[finished - 1] if finished else float("nan")


def replay(
    table: Table,
    method: Method,
    *,
    workers: int = 1,
    samples: int | None = None,
    trials: int | None = None,
    slowdown: float = 1.0,
    clock: Callable[[], float] = lambda: 0.0,
    seed: int = 0,
) -> Replay:
    """Run `method` on `workers` virtual workers until a budget of samples or trials is used up.

    The driver is sequential: during a call of the method, whose duration `clock` gives, the next
    result and its worker wait.

    Args:
        table: the learning curves.
        method: the search method.
        workers: 1 or more.
        samples, trials: the budget; at least one of them. Trials that are running when the samples
            are spent continue to their end; `Replay.at` does not count their cost.
        slowdown: virtual seconds per second in the table.
        clock: seconds of the driver's work so far; by default the driver takes no time.
        seed: decides which of the table's seeds a training is served with. Methods that are
            compared in pairs get the same.

    Returns:
        The results. A `RecommendingMethod` says itself what it recommends; for any other it is the
        choice of the trial with the highest last score among those that the user may choose.

    Raises:
        ValueError: neither budget is given.
        KeyError: a choice is not in the table.
    """
    if samples is None and trials is None:
        raise ValueError("replay: needs a budget, samples or trials; got neither.")
    simulation = _Simulation(table, method, slowdown, clock, Replicates(table, seed))
    return simulation.run(workers, math.inf if samples is None else samples, trials or math.inf)


@dataclass(frozen=True)
class _Running:
    """A running trial: number, row and seed's index in the table, current evaluation point."""

    number: int
    row: int
    seed: int
    step: int


class _Simulation:
    """One replay. `_events` holds (moment, order of creation, trial) of running evaluations."""

    def __init__(
        self,
        table: Table,
        method: Method,
        slowdown: float,
        clock: Callable[[], float],
        replicates: Replicates,
    ) -> None:
        self._table, self._method, self._clock = table, method, clock
        self._replicates = replicates
        self._intervals = np.diff(table.samples, prepend=0)
        self._durations = np.diff(table.seconds, axis=2, prepend=0) * slowdown
        self._events: list[tuple[float, int, _Running]] = []
        self._busy: list[tuple[float, float]] = []
        self._now, self._spent, self._given, self._last_given = 0.0, 0, 0, 0.0
        self._best: tuple[float, int | None] = (-math.inf, None)  # last score and row
        self._replay = Replay()

    def run(self, workers: int, samples: float, trials: float) -> Replay:
        """Assign trials while the budget lasts, then let the running ones finish."""
        waiting = workers
        while True:
            while waiting and self._spent < samples and self._given < trials and self._start():
                waiting -= 1
            if not self._events:
                break
            moment, _, running = heapq.heappop(self._events)
            self._now = max(self._now, moment)
            waiting += self._evaluated(running)
        return self._closed(workers)

    def _start(self) -> bool:
        """Start one trial; return False if the method has none."""
        asked = self._timed(self._method.ask)
        if asked is not None:
            self._given, self._last_given = self._given + 1, self._now
            row = self._table.row[asked[1]]
            self._schedule(_Running(asked[0], row, self._replicates.draw(row), 1))
        return asked is not None

    def _schedule(self, running: _Running) -> None:
        """Schedule the end of the next evaluation; a failed one (NaN) takes no time."""
        duration = self._durations[running.seed, running.row, running.step - 1]
        end = self._now + (0.0 if math.isnan(duration) else float(duration))
        self._busy.append((self._now, end))
        heapq.heappush(self._events, (end, len(self._busy), running))

    def _evaluated(self, running: _Running) -> bool:
        """Process one result; return whether its worker is free now."""
        score = float(self._table.score[running.seed, running.row, running.step - 1])
        self._spent += int(self._intervals[running.step - 1])
        outcome: Outcome | None = None
        if math.isnan(score):
            outcome = "failed"
        elif running.step == len(self._intervals):
            outcome = "complete"
        elif self._timed(self._method.report, running.number, running.step, score):
            outcome = "stopped"
        if outcome is None:
            self._schedule(replace(running, step=running.step + 1))
            return False
        self._finish(running, outcome, score)
        return True

    def _finish(self, running: _Running, outcome: Outcome, score: float) -> None:
        counts = self._timed(self._method.finish, running.number, outcome, running.step, score)
        if counts and score > self._best[0]:
            self._best = (score, running.row)
        row = self._recommended()
        self._replay.spent.append(self._spent)
        self._replay.regret.append(math.inf if row is None else self._replicates.regret(row))
        self._replay.outcomes[outcome] = self._replay.outcomes.get(outcome, 0) + 1

    def _recommended(self) -> int | None:
        """Return the row that the method recommends now."""
        if not isinstance(self._method, RecommendingMethod):
            return self._best[1]
        choice = self._timed(self._method.recommended)
        return None if choice is None else self._table.row[choice]

    def _timed(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        started = self._clock()
        answer = call(*args, **kwargs)
        used = self._clock() - started
        self._now += used
        self._replay.driver_seconds += used
        return answer

    def _closed(self, workers: int) -> Replay:
        begins, ends = np.array(self._busy).T
        window = self._last_given if self._given > workers else self._now
        used = np.minimum(ends, window) - np.minimum(begins, window)
        self._replay.seconds = self._now
        self._replay.utilisation = float(used.sum() / (workers * window)) if window else 0.0
        return self._replay
