"""Equal terms for optimizers with a schedule of their own: single norms first, repeats free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from normsearch.benchmark.simulated_executor import Outcome
from normsearch.benchmark.table import NORMS, STAGES

Choice = tuple[str, ...]
SINGLE_NORMS: tuple[Choice, ...] = tuple((norm,) * len(STAGES) for norm in NORMS)
OPTIONS: Mapping[str, tuple[str, ...]] = dict.fromkeys(STAGES, NORMS)
_PATIENCE = 10  # repetitions in a row after which a new choice is drawn, as `normsearch run` does


class Rival(Protocol):
    """An optimizer that decides itself how long a trial is trained."""

    def ask(self) -> tuple[int, Choice, int]:
        """Return a new trial's number (from 0), its choice, and its budget in evaluations."""

    def report(self, number: int, step: int, score: float) -> bool:
        """Hear an evaluation before the end of the budget; return True to stop the trial."""

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> None:
        """Hear how a trial ended."""


class EqualTerms:
    """A rival as a method that the simulator can replay.

    Args:
        rival: the optimizer. It asks for the choices of `first` before any other.
        evaluations: evaluation points of a whole training.
        first: choices that are always trained to the end.
        free_repeats: whether a choice that was trained before is answered from the record. The
            record of a trial that the rival stopped is all that it gets of the choice, unless it
            asks for a larger budget.
        stopped_count: whether a trial that was stopped may be the best, as where the user sees the
            last score of all.
        seed: of the choices that are drawn in place of repetitions.
    """

    def __init__(
        self,
        rival: Rival,
        evaluations: int,
        *,
        first: Sequence[Choice] = SINGLE_NORMS,
        free_repeats: bool = True,
        stopped_count: bool = False,
        seed: int = 0,
    ) -> None:
        self._rival, self._evaluations, self._free = rival, evaluations, free_repeats
        self._first, self._stopped_count = set(first), stopped_count
        self._rng = np.random.default_rng(seed)
        self._running: dict[int, tuple[Choice, int]] = {}
        self._curves: dict[int, list[float]] = {}
        self._record: dict[Choice, tuple[int, Outcome, list[float]]] = {}
        self._drawn = 0

    def ask(self) -> tuple[int, Choice] | None:
        """Return the next trial that has to be trained; None if every choice was trained."""
        for _ in range(_PATIENCE):
            number, choice, budget = self._rival.ask()
            budget = self._evaluations if choice in self._first else budget
            if not self._known(choice, budget):
                return self._begin(number, choice, budget)
            self._answer(number, choice, budget)
        return self._draw()

    def report(self, number: int, step: int, score: float) -> bool:
        """Pass an evaluation on; stop at the trial's budget, or if the rival says so."""
        choice, budget = self._running[number]
        self._curves[number].append(score)
        if step >= budget:
            return True
        stops = number >= 0 and self._rival.report(number, step, score)
        return stops and choice not in self._first

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Tell the rival of the end; return whether the trial may become the best."""
        choice, budget = self._running.pop(number)
        curve = self._curves.pop(number)
        if outcome == "complete":
            curve.append(score)
        if number >= 0:
            self._rival.finish(number, outcome, step, score)
        if choice not in self._record or self._record[choice][0] < budget:
            self._record[choice] = (budget, outcome, curve)
        return outcome == "complete" or (self._stopped_count and outcome == "stopped")

    def _begin(self, number: int, choice: Choice, budget: int) -> tuple[int, Choice]:
        self._running[number], self._curves[number] = (choice, budget), []
        return number, choice

    def _known(self, choice: Choice, budget: int) -> bool:
        return self._free and choice in self._record and self._record[choice][0] >= budget

    def _answer(self, number: int, choice: Choice, budget: int) -> None:
        """Replay the record of a choice up to the budget, or to where the rival stops it now."""
        _, outcome, curve = self._record[choice]
        if len(curve) > budget:
            curve, outcome = curve[:budget], "stopped"
        heard = curve if outcome == "stopped" else curve[:-1]
        for step, score in enumerate(heard, start=1):
            if self._rival.report(number, step, score):
                self._rival.finish(number, "stopped", step, score)
                return
        last = curve[-1] if curve else float("nan")
        self._rival.finish(number, outcome, max(1, len(curve)), last)

    def _draw(self) -> tuple[int, Choice] | None:
        """Return a choice that nobody asked for so far; the rival is not told of it."""
        tried = set(self._record) | {choice for choice, _ in self._running.values()}
        for _ in range(1000):
            choice = tuple(str(self._rng.choice(options)) for options in OPTIONS.values())
            if choice not in tried:
                self._drawn += 1
                return self._begin(-self._drawn, choice, self._evaluations)
        return None
