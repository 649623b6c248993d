"""Which trials of a growing study were read before."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from optuna.trial import FrozenTrial


class Unread:
    """The trials of a growing study, in order of number, that were not read before."""

    def __init__(self) -> None:
        self._read: set[int] = set()
        self._first = 0  # all trials before it were read

    def of(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return those that were not read; the start of a long list is not even looked at."""
        first = bisect_left(trials, self._first, key=lambda trial: trial.number)
        return [trial for trial in trials[first:] if trial.number not in self._read]

    def finished(self, trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
        """Yield the finished ones of them; they are read then."""
        for trial in self.of(trials):
            if trial.state.is_finished():
                self.add(trial.number)
                yield trial
        while self._first in self._read:
            self._read.remove(self._first)
            self._first += 1

    def add(self, number: int) -> None:
        """Count a trial as read."""
        self._read.add(number)
