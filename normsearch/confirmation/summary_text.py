"""The sentences that summarize a confirmation, the verdict first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from normsearch.confirmation.comparison import Confirmation
from normsearch.confirmation.look_progress import cut_short, progress_sentences
from normsearch.confirmation.look_table import NOT_PURSUED
from normsearch.confirmation.power import Power, Range, needed_cases
from normsearch.confirmation.verdict_text import mixtures, others
from normsearch.errors import count


def sentences(found: Confirmation) -> list[str]:
    """Return sentences on the result of a confirmation, its power, and its limits."""
    return [
        *_verdicts(found),
        _reference(found),
        *_scope(found),
        *_precision(found),
        *_failures(found),
        *_collapses(found),
        *_qualified(found),
        *_edges(found),
    ]


def few_cases(cases: int, comparisons: int, scored_on: str = "test") -> str | None:
    """Return a sentence if so few cases can show no difference, however large; else None."""
    needed = needed_cases(comparisons)
    if cases >= needed:
        return None
    return (
        f"With {count(cases, f'{scored_on} case')} and {count(comparisons, 'comparison')} no "
        f"difference can be found, however large: that takes {needed} cases."
    )


def _verdicts(found: Confirmation) -> Iterator[str]:
    if not found.finished:
        ended, asked = found.trainings
        end = "no verdict before the end" if found.course is None else "open arms have no verdict"
        yield f"Not finished: {ended} of {asked} trainings; {end}."
        if found.course is None:
            return
        yield from progress_sentences(found.course)
    if found.finished or (found.course and found.course.judged):
        yield from mixtures(found)
        yield from others(found)
    if found.finished and found.course:
        yield from cut_short(found.course)


def _reference(found: Confirmation) -> str:
    if found.first_choice != found.reference:
        return (
            f"{found.reference} takes the place of {found.first_choice}, no training of which "
            "finished, as the single norm with the next best validation score."
        )
    if found.reference_score is None:
        return f"The others are compared with {found.reference}, the reference that the study sets."
    return (
        f"{found.reference} is the single norm that the search ranked first by validation "
        f"{found.chosen_by} ({found.reference_score:.3f}), chosen before any of these scores was "
        "seen; few validation trainings may not have found the best single norm."
    )


def _scope(found: Confirmation) -> Iterator[str]:
    if found.direction == "minimize":
        yield f"A lower {found.metric} is better."
    if found.chosen_by != found.metric:
        yield (
            f"The search chose by {found.chosen_by}, which no single case has; cases are compared "
            f"by {found.metric}."
        )
    if found.course and found.course.judged:
        yield from _of_looks(found)
    if found.finished:
        yield "This holds for this training set and protocol; another training set was not sampled."
    if found.scored_on == "validation":
        yield "The scores are of validation cases, not of test cases."
    if found.scored_on == "training":
        yield "The scores are of training cases: they say nothing about other cases."


def _of_looks(found: Confirmation) -> Iterator[str]:
    """Yield what unequal numbers of seeds mean for the table."""
    counts = sorted({int(seeds) for seeds in found.table["seeds"] if seeds > 0})
    if len(counts) > 1:
        yield (
            f"Arms have {counts[0]} to {counts[-1]} seeds. A difference is that after the arm's "
            f"last look, when it and {found.reference} had as many; its interval is one of 95% for "
            "all arms and looks together."
        )
    if found.table["verdict"].astype(str).str.startswith(NOT_PURSUED).any():
        yield (
            "Arms that are not pursued were unlikely to be shown better. They are not shown to be "
            "worse, and their means are on average too low, since bad luck is a reason to stop."
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
    compared = ~comparison.table["verdict"].isin(["", "reference", "not trained"])
    comparisons = 1 if found.course else int(compared.sum())  # looks correct by t alone
    few = few_cases(found.cases, comparisons, found.scored_on)
    if few or power is None:
        yield from [few] if few else []
        return
    told = (
        f"a true difference of {power.difference:g} between {power.arm} and {found.reference} "
        f"would be found in about {_range(power.found, '.0%')} of such studies, and "
        f"{power.share:.0%} of them would find {_detectable(power)}"
        if power.found
        else f"{power.share:.0%} of such studies would find {_detectable(power)} between "
        f"{power.arm} and {found.reference}"
    )
    yield (
        f"If spreads are as estimated here, {told}; with so few seeds, true power may be well "
        "below."
    )


def _detectable(power: Power) -> str:
    if math.isinf(power.detectable.low):
        return "none, however large"
    return f"one of about {_range(power.detectable, '.3f')}"


def _range(values: Range, form: str) -> str:
    low, high = format(values.low, form), format(values.high, form)
    return low if low == high else f"{low} to {high}".replace("to inf", "to no size at all")


def _failures(found: Confirmation) -> Iterator[str]:
    seeds = dict(zip(found.table["arm"], found.table["seeds"], strict=True))
    for arm, reasons in found.failures.items():
        left = int(seeds[arm])
        kept = f"it is compared by its other {count(left, 'seed')}" if left else "it has no score"
        yield (
            f"{count(len(reasons), 'training')} of {arm} failed ({reasons[0]}); {kept}, and "
            "failures are not counted against it."
        )


def _collapses(found: Confirmation) -> Iterator[str]:
    """Yield sentences on collapsed trainings, and the bound on their share if none collapsed."""
    trained = found.table[found.table["seeds"] > 0]
    higher = found.direction == "maximize"
    limit = "half of" if higher == (trained["mean"] >= 0).all() else "twice"
    limit = f"{'below' if higher else 'above'} {limit}"
    for row in trained[trained["collapsed"] > 0].to_dict("records"):
        yield (
            f"{int(row['collapsed'])} of {count(int(row['seeds']), 'training')} of {row['arm']} "
            f"collapsed (mean {found.metric} {limit} the median training's): up to "
            f"{row['collapse_bound']:.0%} of its trainings may do so (95% bound)."
        )
    none = trained[trained["collapsed"] == 0]
    if len(none):
        yield (
            f"Where no training collapsed, up to {none['collapse_bound'].max():.0%} of trainings "
            "may still do so (95% bound)."
        )


def _qualified(found: Confirmation) -> Iterator[str]:
    missed, looked_at = found.misses
    if missed:
        yield (
            f"{missed} of {looked_at} segmentations are missed (prediction or truth alone is "
            "empty): their HD95 is the image's diagonal, their surface Dice 0."
        )
    if found.cases_left_out:
        false = found.table.loc[found.table["false_positives"] > 0, ["arm", "false_positives"]]
        told = ", ".join(f"{arm} {n:.0f}" for arm, n in false.itertuples(index=False))
        yield (
            f"{count(found.cases_left_out, 'case')} without any foreground in the truth left out "
            f"of the scores of all arms; false positives on them: {told or 'none'}."
        )
    if found.seen_folds:
        yield (
            f"The search trained or validated on fold {', '.join(found.seen_folds)}: what it chose "
            "(the trials, and which norm is the reference) was chosen on subjects tested here, so "
            "their scores are optimistic."
        )
    for norm, reason in found.left_out.items():
        yield f"{norm} is not among the arms: in the search it was {_ended(reason)}."


def _edges(found: Confirmation) -> Iterator[str]:
    """Yield sentences on numbers that the search chose at the end of their range, with the arms."""
    arms: dict[str, list[str]] = {}
    for arm, told in found.edges.items():
        for sentence in told:
            arms.setdefault(sentence, []).append(arm)
    for sentence, names in arms.items():
        yield f"{', '.join(names)}: {sentence[:1].lower()}{sentence[1:]}"


def _ended(reason: str) -> str:
    return reason if reason == "not finished" else f"a failure ({reason})"
