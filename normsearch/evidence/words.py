"""A confirmation in plain words, the verdict first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from normsearch.evidence.confirmation import Confirmation
from normsearch.evidence.power import needed_cases
from normsearch.evidence.statistics import summary


def sentences(found: Confirmation) -> list[str]:
    """Return what a confirmation shows, what it could not show, and what qualifies it."""
    return [
        *_unfinished(found),
        summary(found.comparison.table),
        _reference(found),
        *_precision(found),
        *_failures(found),
        *_qualified(found),
    ]


def few_cases(cases: int, comparisons: int) -> str | None:
    """Return what must be said where so few cases can show no difference, however large."""
    needed = needed_cases(comparisons)
    if cases >= needed:
        return None
    return (
        f"With {_count(cases, 'test case')} and {_count(comparisons, 'comparison')} no difference "
        f"can be found, however large: that takes {needed} cases."
    )


def _unfinished(found: Confirmation) -> Iterator[str]:
    if not found.finished:
        yield "Not finished: this is what the trainings so far show."


def _reference(found: Confirmation) -> str:
    if found.first_choice != found.reference:
        return (
            f"{found.reference} stands in for {found.first_choice}, which no training finished "
            "with, as the single norm of the next best validation score."
        )
    if found.reference_score is None:
        return f"The others are compared with {found.reference}, which the study names for it."
    return (
        f"{found.reference} is the single norm with the best validation {found.metric} of the "
        f"search ({found.reference_score:.3f}), chosen before any of these scores was seen."
    )


def _precision(found: Confirmation) -> Iterator[str]:
    comparison = found.comparison
    spread, power = comparison.spread, comparison.power
    if spread is None:
        return
    means = comparison.table["mean"]
    yield (
        f"From seed to seed the mean {found.metric} of an arm varies by {spread.seed:.4f} (SD), "
        f"from arm to arm by {means.std(ddof=1):.4f} (means from {means.min():.3f} to "
        f"{means.max():.3f})."
    )
    few = few_cases(found.cases, len(means) - 1)
    if few or power is None:
        yield from [few] if few else []
        return
    ends = [
        "no difference" if math.isinf(end) else f"{end:.3f}"
        for end in (power.detectable_low, power.detectable_high)
    ]
    large = (
        "No true difference"
        if math.isinf(power.detectable)
        else f"A true difference of {power.detectable:.3f}"
    )
    yield (
        f"{large} (by what these trainings leave open, {ends[0]} to {ends[1]}) would be found in "
        f"{power.share:.0%} of such studies, one as large as the spread between seeds in "
        f"{power.at_seed_spread:.0%} ({power.at_seed_spread_low:.0%} to "
        f"{power.at_seed_spread_high:.0%})."
    )


def _failures(found: Confirmation) -> Iterator[str]:
    seeds = dict(zip(found.table["arm"], found.table["seeds"], strict=True))
    for arm, reasons in found.failures.items():
        left = int(seeds[arm])
        kept = f"it is compared by its other {_count(left, 'seed')}" if left else "it has no score"
        yield (
            f"{_count(len(reasons), 'training')} of {arm} failed ({reasons[0]}); {kept}, so what "
            "is said of it holds for trainings that do not fail."
        )


def _qualified(found: Confirmation) -> Iterator[str]:
    missed, looked_at = found.misses
    if missed:
        yield (
            f"{missed} of {looked_at} segmentations are missed (prediction or truth alone is "
            "empty): their HD95 is the image's diagonal, their surface Dice 0."
        )
    if found.cases_left_out:
        yield (
            f"{_count(found.cases_left_out, 'case')} without any foreground in truth and some "
            "prediction left out."
        )
    if found.seen_folds:
        yield (
            f"The search had trained or validated on fold {', '.join(found.seen_folds)}: what it "
            "chose (the trials, and which norm is the reference) was chosen on subjects tested "
            "here, so their scores are optimistic."
        )
    for norm, reason in found.left_out.items():
        yield f"{norm} is not among the arms: in the search it was {_ended(reason)}."


def _ended(reason: str) -> str:
    return reason if reason == "not finished" else f"a failure ({reason})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
