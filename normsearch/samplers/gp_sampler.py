"""The sampler called gp: a Gaussian process over choices that learns from pruned trials too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from normsearch.samplers.gp_coding import Array, Coding
from normsearch.samplers.gp_kernel import Kernel
from normsearch.samplers.gp_model import Beliefs, Process
from normsearch.samplers.gp_targets import Finished, History, standardized
from normsearch.samplers.independent import OneObjective
from normsearch.samplers.unread import Unread

_MOST = 300  # trials that the process is fitted to: half the best, half the newest
_CANDIDATES = 400
_BEST = 10  # trials whose neighbours are candidates
_CLIMBS = 10  # greatest number of changes of one parameter to the best candidate
_COURAGE = 1.0  # mean of the random factor of the standard deviation
_STEPS = 3  # steps of the beliefs' random walk at each suggestion


class GaussianProcessSampler(OneObjective):
    """Suggests the candidate with the highest upper confidence bound, with a random factor.

    The covariance of two configurations is that of `normsearch.samplers.gp_kernel.Kernel`: what a
    norm does in one slot, in any slot, and next to another norm adds up.

    Most candidates are near the best trials. The best candidate is changed in one parameter after
    another as long as this raises the bound, so suggestions in a large space can lie far from all
    trials.

    The final value of a pruned trial is predicted by a linear regression over the complete trials
    (from the value at the step where it was pruned to the final value), with the residual variance
    as its noise. A failed trial, one that needed too much memory, one that exceeds a constraint, or
    one whose final value is infinite counts as the worst. Values far from the rest are clipped, and
    the unit and the origin of the scores make no difference. No choice is suggested twice while
    there is another. Trials that are running count as if they ended where they are expected to, so
    that many workers do not all try the same. Beyond 300 trials the process is fitted to the 150
    best and the 150 newest, so the cost of a suggestion is bounded.

    Args:
        seed: seed of all draws.
        startup: random trials before the first suggestion; enqueued ones count.
    """

    def __init__(self, seed: int | None = None, startup: int = 4) -> None:
        super().__init__(seed)
        self._startup = startup
        self._rng = np.random.default_rng(seed)
        self._common: dict[str, BaseDistribution] | None = None
        self._uncounted = Unread()
        self._coding = Coding({})
        self._kernel = Kernel(self._coding)
        self._beliefs = Beliefs.prior(1)
        self._rows: dict[int, tuple[float, ...]] = {}
        self._unread, self._history = Unread(), History()

    def reseed_rng(self) -> None:
        """Start another random sequence than that of a copy of this sampler."""
        super().reseed_rng()
        self._rng = np.random.default_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that all finished trials have, except those with one value."""
        return self._choices(study.get_trials(deepcopy=False))

    def _choices(self, trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
        # Optuna's own intersection restarts at the oldest running trial each time.
        for past in self._uncounted.finished(trials):
            if past.distributions:
                known = past.distributions if self._common is None else self._common
                self._common = {k: d for k, d in known.items() if past.distributions.get(k) == d}
        return {name: d for name, d in (self._common or {}).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of a new trial; none while too few trials are finished.

        Raises:
            ValueError: the study has several objectives.
        """
        self._check(study)
        trials = study.get_trials(deepcopy=False)
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        known = self._known(trials, search_space, sign)
        if known is None:
            return {}
        with one_thread():
            return self._coding.params(self._chosen(known, self._running(trials)))

    def choose(
        self, trials: Sequence[FrozenTrial], candidates: Sequence[dict[str, Any]], sign: int = 1
    ) -> int | None:
        """Return the index of the candidate with the best bound.

        Args:
            trials: trials of the study.
            candidates: complete parameters, at least one.
            sign: 1 for a study that maximizes, -1 for one that minimizes.

        Returns:
            None while too few trials are finished.
        """
        known = self._known(trials, self._choices(trials), sign)
        if known is None:
            return None
        rows = np.array([self._coding.row(params) for params in candidates])
        with one_thread():
            return int(np.argmax(self._bound(known, self._running(trials))[0](rows)))

    def _known(
        self, trials: Sequence[FrozenTrial], search_space: dict[str, BaseDistribution], sign: int
    ) -> History | None:
        """Return the finished trials, None while there are too few; each is converted once."""
        if not search_space:
            return None
        if search_space != self._coding.space:
            self._coding, self._rows = Coding(search_space), {}
            self._kernel, self._beliefs = Kernel(self._coding), Beliefs.prior(len(search_space))
            self._unread, self._history = Unread(), History()
        for trial in self._unread.finished(trials):
            if (one := self._finish(trial, sign)) is not None:
                self._history.add(one)
        known = self._history
        return known if len(known) >= self._startup and known.scored else None

    def _bound(
        self, known: History, running: set[tuple[float, ...]]
    ) -> tuple[Callable[[Array], Array], Array]:
        """Return the upper bound as a function of coded rows, and the rows of the best trials."""
        targets, noise = known.expected_finals()
        process = self._fitted(known, targets, noise)
        process = self._walked(process, _STEPS if len(known) <= _MOST else 1)
        if running:
            process = process.believing(self._kernel.points(np.array(sorted(running))))
        courage = _COURAGE * self._rng.exponential()

        def bound(rows: Array) -> Array:
            mean, deviation = process.at(self._kernel.points(rows))
            return mean + courage * deviation

        best = np.argsort(-targets)[:_BEST]
        return bound, np.array([known.rows[place] for place in best])

    def _chosen(self, known: History, running: set[tuple[float, ...]]) -> tuple[float, ...]:
        """Return the coded parameters of a new trial."""
        bound_of, best = self._bound(known, running)
        taken = known.tried | running

        def best_of(rows: Array) -> tuple[float, Array]:
            bounds = bound_of(rows)
            return float(bounds.max()), rows[np.argmax(bounds)]

        candidates = self._candidates(best)
        new = _untried(candidates, taken)
        bound, row = best_of(new if len(new) else candidates)
        for _ in range(_CLIMBS):
            # A number that is moved and clipped can be where it was: rounding would decide.
            around = _untried(self._coding.changed(self._rng, row), taken | {tuple(row.tolist())})
            higher, there = best_of(around) if len(around) else (bound, row)
            if higher <= bound:
                break
            bound, row = higher, there
        return tuple(row.tolist())

    def _finish(self, trial: FrozenTrial, sign: int) -> Finished | None:
        row = self._row(trial)
        if row is None:
            return None
        # A trial that exceeded the memory is recorded as pruned, with a violated constraint; one
        # that exceeds a constraint of the search as complete.
        failed = trial.state == TrialState.FAIL or any(v > 0 for v in trial.constraints.values())
        value = None
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            value = sign * trial.value
        if failed or (value is not None and not math.isfinite(value)):
            return Finished(row, {}, None)
        curve = {s: sign * v for s, v in trial.intermediate_values.items() if math.isfinite(v)}
        return Finished(row, curve, value) if curve or value is not None else None

    def _running(self, trials: Sequence[FrozenTrial]) -> set[tuple[float, ...]]:
        rows = {self._row(trial) for trial in self._unread.of(trials)}
        return {row for row in rows if row is not None}

    def _row(self, trial: FrozenTrial) -> tuple[float, ...] | None:
        """Return a trial's coded parameters, None if one is missing; each is coded once."""
        row = self._rows.get(trial.number)
        if row is None and self._coding.space.keys() <= trial.params.keys():
            row = self._rows[trial.number] = self._coding.row(trial.params)
        return row

    def _kept(self, targets: Array) -> npt.NDArray[np.intp]:
        """Return the places of the trials that the process is fitted to: the best and newest."""
        every = np.arange(len(targets))
        if len(every) <= _MOST:
            return every
        return np.union1d(np.argsort(-targets)[: _MOST // 2], every[-_MOST // 2 :])

    def _fitted(self, known: History, targets: Array, noise: Array) -> Process:
        """Return a process fitted to the trials that are kept, under the beliefs of before."""
        kept = self._kept(targets)
        points = self._kernel.points(np.array([known.rows[place] for place in kept]))
        fitted = standardized(targets[kept], noise[kept])
        return Process(self._kernel, points, *fitted, self._beliefs)

    def _walked(self, process: Process, steps: int = _STEPS) -> Process:
        """Return the process under beliefs a few Metropolis steps further."""
        for _ in range(steps):
            beliefs = process.beliefs.moved(self._rng)
            other = process.given(beliefs)
            if math.log(self._rng.random()) < other.log_evidence() - process.log_evidence():
                process = other
        self._beliefs = process.beliefs
        return process

    def _candidates(self, best: Array) -> Array:
        """Return points near the best ones and points from the whole space."""
        near = 3 * _CANDIDATES // 4
        bases = best[self._rng.integers(len(best), size=near)]
        anywhere = self._coding.uniform(self._rng, _CANDIDATES - near)
        return np.concatenate((self._coding.neighbours(self._rng, bases), anywhere))


def _untried(rows: Array, taken: set[tuple[float, ...]]) -> Array:
    """Return the rows that were not tried yet."""
    new = [row not in taken for row in map(tuple, rows.tolist())]
    return rows[new]


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra uses one thread.

    Threads that wait for a core of a training cost ten times the work itself.
    """
    limited: AbstractContextManager[Any] = _threads().limit(limits=1, user_api="blas")
    return limited


@cache
def _threads() -> ThreadpoolController:
    """Return the controller of this process's thread pools; finding them takes milliseconds."""
    return ThreadpoolController()
