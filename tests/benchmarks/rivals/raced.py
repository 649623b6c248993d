"""The race of ``normsearch run`` after a search that is not its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from normsearch.benchmark.simulated_executor import Method, Outcome, RacingMethod
from normsearch.benchmark.table import table_space
from normsearch.config import SearchConfig

_NUMBER = "rival"  # attribute of a trial of the search: its number there


class RaceEnd(RacingMethod):
    """The search of ``normsearch run`` with its race, which recommends at its end alone.

    The model that recommends takes more time than all else of a replay.
    """

    def recommended(self) -> tuple[str, ...] | None:
        """Return the norm in each unit of the recommended trial; None before the end."""
        return super().recommended() if self.coordinator.done else None


class RacedRival(RaceEnd):
    """A rival's search with the race of ``normsearch run`` at its end.

    The coordinator hears the rival's trials as if they were enqueued, ends the search and runs the
    race as any other. A choice that the rival asked for when its search ends is not trained.

    Args:
        search: limits and race.
        samples: samples seen at each evaluation point of a trial.
        rival: the search.
    """

    def __init__(self, search: SearchConfig, samples: Sequence[int], rival: Method) -> None:
        space = table_space()
        super().__init__(space, search, samples)
        self._rival, self._space = rival, space
        self._next: tuple[int, tuple[str, ...]] | None = None

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        """Return the rival's next trial, or one of the race."""
        if self._next is None:
            self._next = self._rival.ask()
            if self._next is not None:
                self._enqueue(*self._next)
        asked = super().ask()
        if asked is not None and self._number(asked[0]) is not None:
            self._next = None
        return asked

    def report(self, number: int, step: int, score: float) -> bool:
        """Report to the storage; of a trial of the search, the rival decides."""
        super().report(number, step, score)
        own = self._number(number)
        if own is None or step == len(self._samples):  # the last score it hears by `finish`
            return False
        return self._rival.report(own, step, score)

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Finish the trial in the study and tell the rival."""
        own = self._number(number)
        if own is not None:
            self._rival.finish(own, outcome, step, score)
        return super().finish(number, outcome, step, score)

    def _enqueue(self, number: int, choice: tuple[str, ...]) -> None:
        names = next(iter(self._space.single_norms.values()))
        norms = dict(zip(names, choice, strict=True))
        self.coordinator.enqueue([({**norms, **self._space.defaults}, {_NUMBER: number})])

    def _number(self, number: int) -> int | None:
        found: int | None = self.study.get_trials(deepcopy=False)[number].user_attrs.get(_NUMBER)
        return found


class RacingByMeans(RaceEnd):
    """A race that orders configurations by the mean score of their trainings, without a model."""

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        """Return the next trial."""
        with _no_model():
            return super().ask()

    def recommended(self) -> tuple[str, ...] | None:
        """Return the norm in each unit of the recommended trial."""
        with _no_model():
            return super().recommended()


def _no_model() -> AbstractContextManager[Any]:
    return patch("normsearch.samplers.fitted.posterior_means", return_value={})
