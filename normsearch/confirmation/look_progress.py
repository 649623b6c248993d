"""How far a confirmation in looks is: what is decided, what is open, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from normsearch.config.arms import LOOKS
from normsearch.confirmation.arm_table import roles_of
from normsearch.confirmation.look_course import Course, comparisons
from normsearch.confirmation.looks import Pairs, State, begin, look, trained
from normsearch.confirmation.pair_tests import Array
from normsearch.errors import count

_STUDIES, _VALUES = 200, 4_000_000  # simulated courses, and scores of all of them together
_CASES, _SPREAD = 15, 0.02  # before any score is known; the cost hardly depends on them

_WORDS = {
    "better": "better:",
    "not pursued": "not pursued:",
    "open": "open:",
    "to the end": "no difference found:",
}


@dataclass(frozen=True)
class Cost:
    """The trainings of a confirmation in looks.

    `due` until the next look, `most` until the last one if no further arm is decided, and `likely`
    on average, if the open arms differ as far as the scores say; before the first look, if no arm
    differs.
    """

    due: int
    most: int
    likely: int


def cost(course: Course, seed: int = 0) -> Cost:
    """Return what a confirmation has cost and will cost, by simulation; `seed` is that of it."""
    folds = max(len(course.space.folds), 1)
    due = len(course.due)
    if course.finished:
        return Cost(due * folds, due * folds, due * folds)
    state, pairs, scores = _start(course)
    allowed = course.space.trainings or course.space.size
    ahead = max(course.judged, LOOKS[0]) if course.state is None else _next(course.judged)
    most = due + int(trained(state, pairs).sum()) * (LOOKS[-1] - ahead)
    size = scores.shape[0] * LOOKS[-1] * scores.shape[-1]
    studies = max(20, min(_STUDIES, _VALUES // size))
    random = np.random.default_rng(seed)
    more = _simulated(_repeated(state, studies), scores, pairs, course.judged, ahead, random)
    return Cost(due * folds, min(most * folds, allowed), min(round((due + more) * folds), allowed))


def progress_sentences(course: Course) -> Iterator[str]:
    """Yield what is decided, what is open, and the trainings still to come."""
    if course.judged:
        told: dict[str, list[str]] = {word: [] for word in _WORDS}
        for arm, decision, seeds in course.decided():
            told[decision].append(arm if decision == "open" else f"{arm} (after {seeds} seeds)")
        parts = [f"{_WORDS[word]} {', '.join(arms)}" for word, arms in told.items() if arms]
        yield f"Judged after {course.judged} seeds, against {course.arms[0]}: {'; '.join(parts)}."
    found = cost(course)
    if course.finished:
        yield f"Finished with {count(found.due, 'training')}."
        yield from cut_short(course)
        return
    yield (
        f"{count(found.due, 'training')} up to the next look, at most {found.most} in all, "
        f"about {found.likely} {'as it stands' if course.judged else 'if no arm differs'}."
    )


def cut_short(course: Course) -> Iterator[str]:
    """Yield which arms are open because no further look was allowed, and how to allow it."""
    if course.lacking:
        arms = ", ".join(arm for arm, told, _ in course.decided() if told == "to the end")
        allowed = course.space.trainings or course.space.size
        yield (
            f"The {count(allowed, 'training')} allowed end after {course.judged} seeds, before "
            f"{arms} could be decided; the next look takes --trainings {allowed + course.lacking}."
        )


def _start(course: Course) -> tuple[State, Pairs, Array]:
    """Return state, comparisons and the scores of the last look; made-up ones before the first."""
    if course.state is not None:
        return course.state, course.pairs, course.scores[course.judged]
    first = course.space.reference or course.space.arms[0].name
    arms = (first, *(arm for arm in course.arms if arm != first))
    pairs = comparisons(arms, roles_of(course.space))
    return begin(len(arms), pairs), pairs, np.zeros((len(arms), 0, _CASES))


def _next(judged: int) -> int:
    return LOOKS[LOOKS.index(judged) + 1]


def _repeated(state: State, studies: int) -> State:
    names = ("variance", "free", "better", "dropped", "seeds", "share")
    values = {name: np.repeat(getattr(state, name)[None], studies, axis=0) for name in names}
    return replace(state, **values)


def _simulated(
    state: State, scores: Array, pairs: Pairs, judged: int, ahead: int, random: np.random.Generator
) -> float:
    """Return the mean number of trainings after the look `ahead`."""
    studies = state.variance.shape[0]
    future = _drawn(state, scores, LOOKS[-1] - judged, random)
    past = np.broadcast_to(scores[:, :judged], (studies, *scores[:, :judged].shape))
    every = np.concatenate([past, future], axis=2)
    total, before = 0.0, ahead
    for seeds in LOOKS[LOOKS.index(ahead) :]:
        total += float(trained(state, pairs).sum(axis=-1).mean()) * (seeds - before)
        state, _ = look(state, every, seeds, pairs)
        before = seeds
    return total


def _drawn(state: State, scores: Array, seeds: int, random: np.random.Generator) -> Array:
    """Return scores of further seeds, (studies, arms, seeds, cases), as those so far suggest."""
    studies, arms = state.variance.shape
    known = np.asarray(~np.isnan(scores).any(axis=-1))
    counts = np.asarray(known.sum(axis=-1))
    if not counts.any():
        by_case = random.normal(0, _SPREAD, (studies, arms, 1, scores.shape[-1]))
        return np.asarray(by_case + random.normal(0, _SPREAD, (studies, arms, seeds, 1)))
    filled = np.where(known[..., None], scores, 0.0).sum(axis=1)
    by_case = filled / np.maximum(counts, 1)[:, None]
    by_case[counts == 0] = by_case[counts > 0].mean(axis=0)
    deviation = np.sqrt(np.maximum(state.variance, np.median(state.variance)))[..., None, None]
    share = 1 / np.sqrt(np.maximum(counts, 1))[:, None, None]
    unknown = share * random.normal(0, 1, (studies, arms, 1, 1))
    luck = random.normal(0, 1, (studies, arms, seeds, 1))
    return np.asarray(by_case[:, None, :] + deviation * (unknown + luck))
