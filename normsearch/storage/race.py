"""The race at the end of a search: the best configurations are trained again and halved.

Everything here is computed from the trials alone, so a driver that resumes a search decides as the
one before it would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from normsearch.config import StudyConfig
from normsearch.space.interface import AnySpace
from normsearch.storage.ranking import (
    ENTRANTS,
    RACE,
    ROUND,
    by_posterior,
    candidates,
    is_finished,
    rounds,
)
from normsearch.storage.search_end import SearchEnd, begun
from normsearch.storage.trial_states import REPLICATE_OF, is_repeat, is_replicate, single_norm

SEED, SIZE = "seed", "race_size"
"""Attributes of a replicate: the seed of its training, and the number of trials of its race."""

Entry = tuple[dict[str, Any], dict[str, Any]]
"""Parameters to enqueue, and the attributes of a replicate."""


@dataclass(frozen=True)
class Standing:
    """How far a search has come.

    Attributes:
        search: how many trials come before the race; replicates of earlier races are among them.
        size: how many trials the race has in the end.
        searching: whether the race has not begun, and must not yet.
        race: the race's trials so far, by round.
    """

    search: int
    size: int
    searching: bool
    race: dict[int, list[FrozenTrial]]

    @property
    def wanted(self) -> int:
        """How many trials may have begun now, repetitions not counted."""
        return self.search if self.searching else self.search + self.size

    @property
    def numbers(self) -> set[int]:
        """The numbers of the race's trials."""
        return {trial.number for one in self.race.values() for trial in one}

    @property
    def last(self) -> list[FrozenTrial]:
        """The trials of the newest round, none before the first."""
        return next(reversed(self.race.values()), [])

    @property
    def due(self) -> bool:
        """Whether trials of the race must be enqueued, in part if a crash interrupted this."""
        if self.searching:
            return False
        if self.last and len(self.last) < self.last[0].user_attrs[ENTRANTS]:
            return True
        return self.left > 0 and (not self.last or is_finished(self.last))

    @property
    def left(self) -> int:
        """The trials of the race that no round has yet."""
        begun = sum(int(one[0].user_attrs[ENTRANTS]) for one in self.race.values())
        return self.size - begun


class Race:
    """The trials that a search is asked for, and its race among the last of them.

    A round trains the best configurations of the round before once more, with a seed that none of
    them had. It takes half of the race's trials that are left, rounded up.

    Args:
        config: of the study; `search.race` of its `search.trials` are the race. Where the number of
            trials depends on what they cost or find, it is set as `end` once it is decided.
        space: the trials' space, whose size bounds the search; that of a confirmation in looks
            grows with each look.
    """

    def __init__(self, config: StudyConfig, space: AnySpace) -> None:
        self._search = config.search
        self.end: SearchEnd | None = None
        self.holding = False  # no trial may start now, before the end is decided
        self._direction, self._space = config.direction, space
        self._new_seeds = config.new_seeds

    @property
    def _asked(self) -> int:
        """The number of trials in all; 0 while it is not decided."""
        return self.end.asked if self.end else self._search.trials or 0

    @property
    def _undecided(self) -> bool:
        return self._search.open_ended and self.end is None

    @property
    def _size(self) -> int:
        return self.end.race if self.end else self._search.race_trials

    def standing(self, trials: Sequence[FrozenTrial], exhausted: bool) -> Standing:
        """Return how far the search has come; `exhausted` if its space has nothing new."""
        trained = [trial for trial in trials if not is_repeat(trial)]
        race = {} if self._undecided else rounds(trained, self._asked)
        own = {trial.number for one in race.values() for trial in one}
        others = [trial for trial in trained if trial.number not in own]
        started = begun(others)
        if race:
            size = next(iter(race.values()))[0].user_attrs[SIZE]
            return Standing(started, size, False, race)
        if self._undecided:
            return Standing(started if self.holding else len(trained) + 1, 0, True, race)
        search = self._searched(others, exhausted)
        if not self._size:
            return Standing(search, 0, True, race)
        search = max(search, started)
        size = self.end.race if self.end else max(0, min(self._size, self._asked - search))
        ended = sum(trial.state.is_finished() for trial in others)
        running = any(trial.state == TrialState.RUNNING for trial in trials)
        if ended < search or running:
            return Standing(search, size, True, race)
        return Standing(search, size if candidates(trials) else 0, False, race)

    def holds_more(self, trials: Sequence[FrozenTrial], exhausted: bool) -> bool:
        """Whether the space has configurations that no trial has begun."""
        own = [trial for trial in trials if not is_repeat(trial) and not is_replicate(trial)]
        return not exhausted and not (self._space.size and begun(own) >= self._space.size)

    def _searched(self, others: Sequence[FrozenTrial], exhausted: bool) -> int:
        if exhausted:
            return len(others)
        if self.end:
            return max(self.end.search, begun(others))
        wanted, configurations = self._asked - self._size, self._space.size
        again = sum(map(is_replicate, others))
        return min(wanted, configurations + again if configurations else wanted)

    def done(self, trials: Sequence[FrozenTrial], exhausted: bool) -> bool:
        """Whether as many trials as asked for are finished (COMPLETE, PRUNED or FAIL).

        Repetitions do not count, but must be finished too.
        """
        if self._undecided:
            return False
        now = self.standing(trials, exhausted)
        finished = sum(trial.state.is_finished() and not is_repeat(trial) for trial in trials)
        open_repeats = (is_repeat(trial) and not trial.state.is_finished() for trial in trials)
        return finished >= now.search + now.size and not any(open_repeats)

    def ended_early(self, trials: Sequence[FrozenTrial], exhausted: bool) -> bool:
        """Whether the space holds fewer configurations than the search was asked for."""
        if self._search.open_ended:
            return self.end is not None and self.end.reason == "space"
        return self.standing(trials, exhausted).search < self._asked - self._size

    def next_round(self, trials: Sequence[FrozenTrial], exhausted: bool) -> list[Entry]:
        """Return the replicates to enqueue now; a part of them may be enqueued already."""
        now = self.standing(trials, exhausted)
        if not now.due:
            return []
        number, last = max(now.race, default=0), now.last
        if last and not is_finished(last):  # a crash interrupted its enqueueing: the same again
            before = {trial.number for trial in last}
            known = [trial for trial in trials if trial.number not in before]
            entrants = last[0].user_attrs[ENTRANTS]
        else:
            number, known, entrants = number + 1, list(trials), math.ceil(now.left / 2)
        chosen = self._chosen(known, now.race.get(number - 1), entrants)
        shared = {RACE: self._asked, SIZE: now.size, ROUND: number, ENTRANTS: len(chosen)}
        shared[SEED] = next(self._new_seeds(trial.user_attrs.get(SEED) for trial in known))
        return [(trials[one].params, {REPLICATE_OF: one, **shared}) for one in chosen]

    def _chosen(
        self, trials: Sequence[FrozenTrial], last: list[FrozenTrial] | None, entrants: int
    ) -> list[int]:
        """Return the best configurations; in the first round also the best single norm."""
        entered = candidates(trials)
        if last is not None:
            survived = {trial.user_attrs[REPLICATE_OF] for trial in last}
            entered = [trial for trial in entered if trial.number in survived]
        ordered = by_posterior(entered, trials, self._direction)
        chosen = ordered[:entrants]
        if last is None and entrants > 1:
            kinds = {trial.number: single_norm(trial) for trial in entered}
            single = next((number for number in ordered if kinds[number]), chosen[-1])
            chosen = chosen if single in chosen else [*chosen[:-1], single]
        return chosen
