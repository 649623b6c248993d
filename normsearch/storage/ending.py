"""The end of a search that hours, samples or a stop rule limit, decided once for all drivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial

from normsearch.config import StudyConfig
from normsearch.storage.leases import Leases
from normsearch.storage.race import Race
from normsearch.storage.search_end import GAIN, Limits, SearchEnd, end_key, spent
from normsearch.storage.trial_states import is_repeat

_DECIDING = -2  # the lease under which one driver records the end


class Ending:
    """Decides when a search ends, and records it in the study.

    Args:
        study: the Optuna study.
        leases: the leases of this driver.
        config: the study's configuration.
        tell: called with the end when it is known.
    """

    def __init__(
        self, study: Study, leases: Leases, config: StudyConfig, tell: Callable[[SearchEnd], None]
    ) -> None:
        self._study, self._leases, self._config, self._tell = study, leases, config, tell
        self._limits, self._key = Limits(config), end_key(config.search)
        self._last: tuple[int, float | None] = (-1, None)

    def settle(self, race: Race, trials: Sequence[FrozenTrial], exhausted: bool) -> None:
        """Tell `race` the search's end if it is recorded or due, else whether a trial may start."""
        if not self._config.search.open_ended:
            self._note_small_space(race, trials, exhausted)
            return
        if race.end is not None:
            return
        race.end = self._recorded()
        if race.end is None:
            self._decide(race, trials, exhausted)
        if race.end is not None:
            self._tell(race.end)

    def _note_small_space(self, race: Race, trials: Sequence[FrozenTrial], exhausted: bool) -> None:
        """Record that a search for a number of trials has fewer, so that `status` knows its end."""
        if self._config.in_looks or not race.ended_early(trials, exhausted) or self._recorded():
            return
        now, hours = race.standing(trials, exhausted), self._leases.hours()
        samples = spent(trials, self._config, hours).samples
        end = SearchEnd("space", now.search, now.size, None, samples, hours)
        self._study.set_user_attr(self._key, end.attribute())

    def _decide(self, race: Race, trials: Sequence[FrozenTrial], exhausted: bool) -> None:
        hours = self._leases.hours()
        so_far = spent(trials, self._config, hours)
        full = not race.holds_more(trials, exhausted)
        race.holding = not self._limits.may_start(so_far)
        end = self._limits.end(trials, so_far, hours, self._gain(trials), full)
        if end is None:
            return
        ours = self._leases.holder(_DECIDING) == self._leases.owner  # a fault of the storage
        if not (ours or self._leases.claim(_DECIDING)):
            race.holding = True  # another driver decides
            return
        race.end = self._recorded()
        if race.end is None:
            self._study.set_user_attr(self._key, end.attribute())
            race.end = end
        self._leases.release(_DECIDING)

    def _recorded(self) -> SearchEnd | None:
        return SearchEnd.read(self._study.user_attrs, self._config.search)

    def _gain(self, trials: Sequence[FrozenTrial]) -> float | None:
        """Return the expected gain of a further training; estimated once a finished trial."""
        stop = self._config.search.stop
        own = [trial for trial in trials if not is_repeat(trial)]
        finished = sum(trial.state.is_finished() for trial in own)
        if stop is None or finished < stop.after:
            return None
        if self._last[0] != finished:
            known: dict[str, Any] = self._study.user_attrs.get(GAIN, {})
            if known.get("finished") != finished:  # else another driver estimated it
                from normsearch.samplers.expected_gain import expected_gain

                sign = 1 if self._config.direction == "maximize" else -1
                known = {"finished": finished, "gain": expected_gain(own, sign)}
                self._study.set_user_attr(GAIN, known)
            self._last = finished, known["gain"]
        return self._last[1]
