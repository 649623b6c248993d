"""What a confirmation will train, in sentences, before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import scipy

from normsearch.config import ArmsConfig
from normsearch.confirmation.look_course import begun_course
from normsearch.confirmation.look_progress import progress_sentences
from normsearch.confirmation.pair_tests import ALPHA
from normsearch.confirmation.plan_size import SEEDS, TOP
from normsearch.confirmation.power import SHARE
from normsearch.errors import count
from normsearch.storage.confirm_share import ConfirmShare
from normsearch.storage.records import StudyRecord
from normsearch.storage.trial_states import finished, outcome


def unfinished(record: StudyRecord) -> Iterator[str]:
    """Yield a warning if a search has trials left to train."""
    states, asked = [outcome(trial) for trial in record.frozen()], record.asked
    if {"RUNNING", "WAITING"}.intersection(states) and not record.ended:
        of = "" if asked is None else f"of {asked} "
        yield (
            f"normsearch: warning: {record.name} has finished {finished(states)} {of}trials; this "
            "confirms the best of them."
        )


def plan_sentences(
    space: ArmsConfig, share: ConfirmShare | None, fixed: int | None
) -> Iterator[str]:
    """Yield what a confirmation trains, and what it leaves out to keep to its share.

    Args:
        space: its arms.
        share: what the search left to it, None where that is no limit.
        fixed: how many trainings design fixed would have in its place, None if too few to test.
    """
    about = (
        f"{len(space.arms)} arms ({', '.join(arm.name for arm in space.arms)}) x "
        f"{'up to ' if space.design == 'looks' else ''}{len(space.seeds)} seeds"
        f"{f' x {len(space.folds)} folds' if space.folds else ''}"
    )
    if space.design == "looks":
        cost = " ".join(progress_sentences(begun_course(space)))
        other = "" if fixed is None else f" --design fixed trains {fixed}."
        yield f"{about}, judged in looks; compared with {space.reference}. {cost}{other}"
    else:
        yield f"{about}, {space.size} trainings; compared with {space.reference}"
    if share:
        yield from _reductions(space, share)


def _reductions(space: ArmsConfig, share: ConfirmShare) -> Iterator[str]:
    """Yield what a confirmation leaves out to keep to its share, and how to give it more."""
    folds, origin = max(len(space.folds), 1), space.origin
    less = []
    if origin and origin.top is not None and origin.top < TOP:
        less.append(f"{count(origin.top, 'mixture')} instead of {TOP}")
    if space.design == "fixed" and len(space.seeds) < SEEDS:
        less.append(f"{len(space.seeds)} seeds instead of {SEEDS}")
    if space.trainings is not None:
        less.append(f"no look that would exceed {count(space.trainings, 'training')}")
    if not less:
        return
    cure = (
        f"--seeds {SEEDS} trains {len(space.arms) * folds * SEEDS}"
        if space.design == "fixed" and len(space.seeds) < SEEDS
        else "--trainings N allows more"
    )
    yield f"search.confirm left {share}: {', '.join(less)}; {cure}."
    if space.design == "fixed":
        yield (
            f"With {len(space.seeds)} seeds, {SHARE:.0%} of studies find a difference of about "
            f"{_detectable(len(space.seeds)):.1f} standard deviations over seeds at best "
            f"({_detectable(SEEDS):.1f} with {SEEDS})."
        )


def _detectable(seeds: int) -> float:
    """Return the difference of two arms that a t test over their seeds finds, in their SD."""
    level, power = (float(scipy.stats.t.isf(p, 2 * (seeds - 1))) for p in (ALPHA / 2, 1 - SHARE))
    return (level + power) * math.sqrt(2 / seeds)
