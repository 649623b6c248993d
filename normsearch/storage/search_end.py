"""When a search ends whose number of trials is not known before, and how large its race is.

The end is decided once, by one driver, and recorded in the storage: see
`normsearch.storage.ending`. A resumed search with other limits decides anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from optuna.trial import FrozenTrial, TrialState

from normsearch.config import SearchConfig, StudyConfig
from normsearch.storage.trial_states import (
    completed,
    eligible,
    is_repeat,
    is_replicate,
    last_record,
)

Reason = Literal["trials", "hours", "samples", "gain", "space"]
GAIN = "expected_gain"
"""The attribute of a study that holds the newest estimate: finished (trials) and gain."""
_LIMITS = ("trials", "hours", "samples", "stop", "race", "confirm")


@dataclass(frozen=True)
class SearchEnd:
    """The end of a search.

    Attributes:
        reason: the limit that was reached; ``space`` if the space has nothing new.
        search: the number of trials before the race, replicates of earlier races among them.
        race: the number of trials of the race.
        gain: the expected gain of a further training, if a stop rule asked for it.
        samples: what all trials had trained.
        hours: how long drivers had been at work.
    """

    reason: Reason
    search: int
    race: int
    gain: float | None
    samples: int
    hours: float

    @property
    def asked(self) -> int:
        """The number of trials in all."""
        return self.search + self.race

    @classmethod
    def read(cls, attributes: Mapping[str, Any], search: SearchConfig) -> Self | None:
        """Return the end that a study's attributes record for these limits, None before it."""
        found = attributes.get(end_key(search))
        return None if found is None else cls(**found)

    def attribute(self) -> dict[str, Any]:
        """Return the end as an attribute of a study."""
        return asdict(self)


def sentence(end: SearchEnd, config: StudyConfig) -> str:
    """Return why a search ended, and what its race will be."""
    search = config.search
    after = f"The search ended after {end.search} trial{'s' * (end.search != 1)}"
    why = {
        "trials": f"another would exceed its part of search.trials ({search.trials})",
        "hours": f"another training would exceed its part of search.hours ({search.hours})",
        "samples": f"another training would exceed its part of search.samples ({search.samples})",
        "gain": "",
        "space": "the space holds no further configuration",
    }[end.reason]
    if search.stop and end.reason == "gain":
        why = (
            f"a further training is expected to gain {end.gain:.2g}, less than search.stop.gain "
            f"({search.stop.gain:g})"
        )
    race = f" Its race has {end.race} trial{'s' * (end.race != 1)}." if search.race else ""
    return f"{after}: {why}.{race}"


def end_key(search: SearchConfig) -> str:
    """Return the name of the attribute that records the end of a search with these limits."""
    limits = search.model_dump(mode="json", include=set(_LIMITS), exclude_none=True)
    return f"search_end {json.dumps(limits, sort_keys=True)}"


def asked(
    trials: Sequence[FrozenTrial], attributes: Mapping[str, Any], search: SearchConfig
) -> int | None:
    """Return how many trials a search asks for in all; None while this is not decided.

    A race that is due has none where no trial may be the best.
    """
    end = SearchEnd.read(attributes, search)
    if end is None and (search.open_ended or search.trials is None):
        return None
    total = end.asked if end else search.trials or 0
    before = total - (end.race if end else search.race_trials)
    own = [trial for trial in trials if not is_repeat(trial)]
    ended = sum(trial.state.is_finished() for trial in own)
    running = any(trial.state == TrialState.RUNNING for trial in trials)
    over = before <= ended < total and not running
    return before if over and not eligible(own) else total


def begun(trials: Iterable[FrozenTrial]) -> int:
    """Return how many trials have started."""
    return sum(trial.state != TrialState.WAITING for trial in trials)


@dataclass(frozen=True)
class Spent:
    """What the trials of a search have cost so far.

    Attributes:
        samples, seconds: of all trainings together, as far as they are recorded.
        running: samples that the running trials still need, as many as a full training.
        full_samples, full_seconds: of a full training, the mean of the COMPLETE ones; None if there
            is none, and not known before.
        at_once: how many trials ran at once on average, 1 or more.
    """

    samples: int
    seconds: float
    running: int
    full_samples: float | None
    full_seconds: float | None
    at_once: float


def spent(trials: Sequence[FrozenTrial], config: StudyConfig, hours: float) -> Spent:
    """Return what `trials` cost; `hours` is how long drivers have been at work."""
    own = [trial for trial in trials if not is_repeat(trial)]
    last = {trial.number: last_record(trial) for trial in own}
    whole = [one for trial in completed(own) if "seconds" in (one := last[trial.number])]
    full_samples: float | None = None
    if config.training.budget == "samples":
        full_samples = config.training.samples
    elif whole:
        full_samples = sum(one["samples"] for one in whole) / len(whole)
    running = sum(
        max(0, round((full_samples or 0) - last[trial.number].get("samples", 0)))
        for trial in own
        if trial.state == TrialState.RUNNING
    )
    seconds = sum(one.get("seconds", 0.0) for one in last.values())
    return Spent(
        samples=sum(one.get("samples", 0) for one in last.values()),
        seconds=seconds,
        running=running,
        full_samples=full_samples,
        full_seconds=sum(one["seconds"] for one in whole) / len(whole) if whole else None,
        at_once=max(1.0, seconds / (3600 * hours)) if hours else 1.0,
    )


def round_sizes(trials: int) -> Iterator[int]:
    """Yield the size of each round of a race that has so many trials left.

    >>> list(round_sizes(8))
    [4, 2, 1, 1]
    """
    while trials > 0:
        yield math.ceil(trials / 2)
        trials -= math.ceil(trials / 2)


class Limits:
    """The limits of a search, and what they say of its trials so far.

    Args:
        config: the study.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._config, self._search = config, config.search

    def may_start(self, so_far: Spent) -> bool:
        """Whether a trial may start now: the running ones may leave it no samples."""
        budget, full = self._samples(self._search.race), so_far.full_samples
        if budget is None or full is None or not so_far.running:
            return True
        return so_far.samples + so_far.running + full <= budget

    def end(
        self,
        trials: Sequence[FrozenTrial],
        so_far: Spent,
        hours: float,
        gain: float | None,
        exhausted: bool,
    ) -> SearchEnd | None:
        """Return the end of a search if it is over, None if it goes on.

        Args:
            trials: all trials.
            so_far: what they cost.
            hours: how long drivers have been at work.
            gain: the expected gain of a further training, if enough trials have finished.
            exhausted: whether the space has nothing new.
        """
        own = [trial for trial in trials if not is_repeat(trial)]
        count = begun(own)
        reason = self._reason(count, so_far, hours, gain, exhausted)
        if reason is None:
            return None
        again = reason in ("gain", "space") and _just_raced(own)  # no limit has room left for it
        race = 0 if again else self._race(reason, count, so_far, hours)
        return SearchEnd(reason, count, race, gain, so_far.samples, hours)

    def _reason(
        self, begun: int, so_far: Spent, hours: float, gain: float | None, exhausted: bool
    ) -> Reason | None:
        search = self._search
        if exhausted:
            return "space"
        if search.trials is not None and begun >= search.trials - search.race_trials:
            return "trials"
        if begun:
            samples, time = self._samples(search.race), self._hours(search.race)
            if samples is not None and so_far.samples + (so_far.full_samples or 0) > samples:
                return "samples"
            if time is not None and hours + (so_far.full_seconds or 0) / 3600 > time:
                return "hours"
        if search.stop and gain is not None and gain < search.stop.gain:
            return "gain"
        return None

    def _race(self, reason: Reason, begun: int, so_far: Spent, hours: float) -> int:
        """Return the size of the race: its share of the trials, if what is left is enough."""
        share, search = self._search.race, self._search
        sizes = [math.floor(begun * share / (1 - share) + 0.5)]
        if search.trials is not None:
            sizes = [search.race_trials if reason == "trials" else sizes[0], search.trials - begun]
        samples, time = self._samples(), self._hours()
        if samples is not None and so_far.full_samples:
            left = samples - so_far.samples - so_far.running
            sizes.append(math.floor(left / so_far.full_samples))
        if time is not None and so_far.full_seconds:
            rounds = (time - hours) * 3600 / so_far.full_seconds
            sizes.append(_largest_race(rounds, so_far.at_once, sizes[0]))
        return max(0, min(sizes))

    def _samples(self, race: float = 0.0) -> float | None:
        """Return the samples of search and race, or of the search if the race has a share."""
        total = self._search.samples
        return None if total is None else total * (1 - self._search.confirm) * (1 - race)

    def _hours(self, race: float = 0.0) -> float | None:
        total = self._search.hours
        return None if total is None else total * (1 - self._search.confirm) * (1 - race)


def race_steps(size: int, at_once: float) -> int:
    """Return how many trainings a race takes one after the other."""
    return sum(math.ceil(one / max(1, round(at_once))) for one in round_sizes(size))


def _largest_race(steps: float, at_once: float, most: int) -> int:
    """Return the size of the largest race, at most `most`, of so many trainings in a row."""
    size = most
    while size > 0 and race_steps(size, at_once) > steps:
        size -= 1
    return size


def _just_raced(own: Sequence[FrozenTrial]) -> bool:
    """Whether nothing was trained since the last race, so that there is nothing to race."""
    started = [(trial.datetime_start, trial) for trial in own if trial.datetime_start is not None]
    return bool(started) and is_replicate(max(started, key=lambda one: one[0])[1])
