"""What the budget of a search leaves to its confirmation, and how many trainings that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from normsearch.config import StudyConfig
from normsearch.errors import count
from normsearch.storage.search_end import spent


@dataclass(frozen=True)
class ConfirmShare:
    """The share `search.confirm` of a search's budget.

    Attributes:
        hours, samples: the share of each limit; None of a limit that the search has not.
        trainings: how many full trainings fit into it; None while no training of the search has
            shown what one costs.
    """

    hours: float | None
    samples: int | None
    trainings: int | None

    def __str__(self) -> str:
        parts = [] if self.hours is None else [duration(3600 * self.hours)]
        parts += [] if self.samples is None else [count(self.samples, "sample")]
        told = " and ".join(parts)
        if self.trainings is None:
            return told
        about = "about " * (self.hours is not None)
        return f"{told}, {about}{count(self.trainings, 'training')}"


def confirm_share(
    trials: Sequence[FrozenTrial], config: StudyConfig, hours: float
) -> ConfirmShare | None:
    """Return what a search leaves to its confirmation, None if it sets nothing aside.

    A training of the confirmation is taken to cost what the COMPLETE ones of the search did on
    average, with as many at once.

    Args:
        trials: all trials of the search.
        config: of the search.
        hours: how long its drivers have been at work.
    """
    search = config.search
    if not search.confirm:
        return None
    so_far, fit = spent(trials, config, hours), []
    time = None if search.hours is None else search.hours * search.confirm
    samples = (
        None if search.samples is None else math.floor(round(search.samples * search.confirm, 6))
    )
    if time is not None and so_far.full_seconds:
        fit.append(math.floor(3600 * time / so_far.full_seconds) * round(so_far.at_once))
    if samples is not None and so_far.full_samples:
        fit.append(math.floor(samples / so_far.full_samples))
    known = len(fit) == (time is not None) + (samples is not None)
    return ConfirmShare(time, samples, min(fit) if known else None)


def duration(seconds: float) -> str:
    """Return a duration in words.

    >>> duration(40), duration(125), duration(9000)
    ('40 s', '2 min', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
