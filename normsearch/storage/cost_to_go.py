"""How long the rest of a run will take, by its trainings so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from normsearch.config import StudyConfig
from normsearch.config.reading import read_recorded_study
from normsearch.storage.confirm_share import confirm_share, duration
from normsearch.storage.leases import hours_of
from normsearch.storage.ranking import RACE
from normsearch.storage.search_end import GAIN, SearchEnd, begun, race_steps, sentence, spent
from normsearch.storage.trial_states import is_repeat, is_replicate, last_record

if TYPE_CHECKING:
    from normsearch.storage.records import StudyRecord


@dataclass(frozen=True)
class CostToGo:
    """What a run still has to train.

    Attributes:
        seconds: how long it takes; None if no training shows it yet.
        most: whether this is an upper limit, since the search may end earlier.
        search: trials before the race; None while hours or samples decide it.
        race: trials of the race; None likewise.
        at_once: how many trials run at once.
    """

    seconds: float | None
    most: bool
    search: int | None
    race: int | None
    at_once: int

    def sentence(self) -> str:
        """Return it in words."""
        counts = []
        if self.search:
            counts.append(f"{self.search} trial{'s' * (self.search != 1)}")
        if self.race:
            counts.append(f"{self.race} of the race")
        what = f" ({' and '.join(counts)}, {self.at_once} at once)" if counts else ""
        if self.seconds is None:
            return f"To go{what}: unknown until a trial has finished."
        return f"To go: {'at most' if self.most else 'about'} {duration(self.seconds)}{what}."


def cost_to_go(
    trials: Sequence[FrozenTrial],
    config: StudyConfig,
    end: SearchEnd | None,
    *,
    asked: int | None,
    hours: float,
    running: int,
) -> CostToGo:
    """Return what a run still has to train.

    Args:
        trials: all trials.
        config: the study.
        end: of its search, if this is decided.
        asked: the number of trials in all, or at most; None if only `end` can say.
        hours: how long drivers have been at work.
        running: how many trials are running now; 0 takes how many ran on average.
    """
    so_far, search = spent(trials, config, hours), config.search
    at_once = running or round(so_far.at_once)
    mean = _mean_seconds(trials)
    full = so_far.full_seconds or mean
    bounds, left, race = [], None, None
    if asked is not None:
        left, race = _trials_left(trials, asked, end.race if end else search.race_trials)
        bounds.append(seconds_to_go(left, race, mean, full, at_once))
    if end is None and search.hours is not None:
        bounds.append(max(0.0, search.hours * (1 - search.confirm) - hours) * 3600)
    if end is None and search.samples is not None:
        samples = max(0.0, search.samples * (1 - search.confirm) - so_far.samples)
        known = so_far.seconds / so_far.samples / at_once if so_far.samples else None
        bounds.append(None if known is None else samples * known)
    seconds = min((bound for bound in bounds if bound is not None), default=None)
    return CostToGo(seconds, search.open_ended and end is None, left, race, at_once)


def _trials_left(trials: Sequence[FrozenTrial], asked: int, size: int) -> tuple[int, int]:
    """Return how many trials before the race, and of the race, are not finished."""
    done = [trial for trial in trials if trial.state.is_finished() and not is_repeat(trial)]
    raced = sum(is_replicate(trial) and trial.user_attrs[RACE] == asked for trial in done)
    left = max(0, asked - len(done))  # a race is smaller where the trials before it were more
    race = min(left, max(0, size - raced))
    return left - race, race


def _mean_seconds(trials: Sequence[FrozenTrial]) -> float | None:
    """Return the mean duration of the finished trials, pruned ones among them, but no race's."""
    done = [trial for trial in trials if trial.state.is_finished() and not is_repeat(trial)]
    records = [last_record(trial) for trial in done if not is_replicate(trial)]
    seconds = [record["seconds"] for record in records if "seconds" in record]
    return sum(seconds) / len(seconds) if seconds else None


def seconds_to_go(
    search: int, race: int, mean: float | None, full: float | None, at_once: int
) -> float | None:
    """Return how long trials and a race take, None if that is unknown.

    Args:
        search: number of trials before the race, each of `mean` seconds.
        race: number of trials of the race, each of `full` seconds; its rounds wait for each other.
        at_once: how many run at once.
    """
    if not search and not race:
        return 0.0
    if mean is None or full is None:
        return None
    before = max(mean, search * mean / max(1, at_once)) if search else 0.0
    return before + race_steps(race, at_once) * full


def budget_of(record: StudyRecord, running: int) -> dict[str, Any]:
    """Return what a run has spent and still costs, as plain values.

    Keys: seconds_to_go (an estimate; None if there is none yet, or in a confirmation in looks),
    hours (during which drivers were at work), expected_gain (of a further training; None without
    `search.stop`, and before it is estimated) and budget (sentences on all this).

    Args:
        record: of the run.
        running: how many trials are running now; 0 takes how many ran on average.
    """
    config, attributes = read_recorded_study(record.folder), record.attributes
    hours = hours_of(record.folder)
    end = SearchEnd.read(attributes, config.search)
    gain = attributes.get(GAIN) if config.search.stop else None
    started = begun(trial for trial in record.frozen() if not is_repeat(trial))
    ended = end is not None and started >= end.search  # a small space is known beforehand
    told = [sentence(end, config)] if end and ended else _so_far(config, gain, hours)
    seconds = None
    if not config.in_looks:
        most = config.search.trials if record.asked is None else record.asked
        trials = record.frozen()
        left = cost_to_go(trials, config, end, asked=most, hours=hours, running=running)
        seconds = left.seconds
        told += [left.sentence()] if seconds != 0 else []
    if share := confirm_share(record.frozen(), config, hours):
        told.append(f"Left to `normsearch confirm`: {share}.")
    return {
        "seconds_to_go": seconds,
        "hours": hours,
        "expected_gain": gain and gain["gain"],
        "budget": told,
    }


def _so_far(config: StudyConfig, gain: dict[str, Any] | None, hours: float) -> list[str]:
    """Return sentences on the limits of a search that goes on."""
    search, told = config.search, []
    if search.hours is not None:
        told.append(f"Drivers were at work for {duration(3600 * hours)} of {search.hours:g} h.")
    if search.stop and gain and gain["gain"] is not None:
        told.append(
            f"A further training is expected to gain {gain['gain']:.2g}, after "
            f"{gain['finished']} trials; the search ends below {search.stop.gain:g}."
        )
    elif search.stop:
        told.append(
            f"What a further training gains is estimated after {search.stop.after} trials; the "
            f"search ends below {search.stop.gain:g}."
        )
    return told
