"""Decisions of a confirmation in looks: which arms are better, and which are not worth pursuing.

After 2, 3, 5 and 8 seeds every open arm is compared with the reference, and with the reference at
the arm's own setting if that was trained too. An arm is better if all its comparisons are: t over
cases and seeds beyond the look's level (`spending`), and Wilcoxon's test over cases below 0.05. It
is not pursued further if one of its comparisons lies too low for a claim to be likely. Decisions
depend on scores alone, never on the order in which trainings ended.

Scores are arrays (..., arms, seeds, cases); leading axes are studies that are judged at once. A
training without a score, failed or never started, is NaN in every case. Arm 0 is the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from normsearch.config.arms import LOOKS
from normsearch.confirmation.pair_tests import ALPHA, Array, p_cases
from normsearch.confirmation.spending import levels

DROPPED_BELOW = {2: 0.43, 3: 0.57, 5: 0.72}
"""An arm is dropped if t lies below this share of the normal quantile of the last look's level."""
_NO_SPREAD = 1e-12  # standard errors up to here are those of rounding

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Pairs:
    """The comparisons of arms: `arm[i]` with `other[i]`, places in the scores.

    Each arm is compared with the reference, and may be compared with a further arm: the reference
    at its setting.
    """

    arm: tuple[int, ...]
    other: tuple[int, ...]

    @property
    def compared(self) -> tuple[int, ...]:
        """The arms that are compared."""
        return tuple(dict.fromkeys(self.arm))

    @property
    def owners(self) -> Flags:
        """Whose a comparison is, (compared, comparisons)."""
        return np.array([[own == arm for own in self.arm] for arm in self.compared])


@dataclass(frozen=True, eq=False)
class Measured:
    """The comparisons at one look, (..., comparisons); NaN with under two seeds or cases.

    `p` is one-sided, by t, for the claim that the arm is better. Scores without any spread are no
    evidence: their p is 1, their t 0.
    """

    difference: Array
    error: Array
    free: Array
    t: Array
    p: Array


@dataclass(frozen=True, eq=False)
class State:
    """What is decided after some looks.

    `variance` over seeds and its degrees of freedom `free`, of every arm as last trained, (...,
    arms). Of the compared arms, (..., compared): `better` and `dropped`; an arm that is neither is
    open. `seeds`: those of the last look at which it was judged. `share`: the number of comparisons
    that the level was divided by for it, one fewer for each arm called better before.
    """

    variance: Array
    free: Array
    better: Flags
    dropped: Flags
    seeds: Counts
    share: Counts

    @property
    def open(self) -> Flags:
        """The arms that are not decided yet, (..., compared)."""
        return ~(self.better | self.dropped)


def begin(arms: int, pairs: Pairs, shape: tuple[int, ...] = ()) -> State:
    """Return the state before the first look; `shape` are the leading axes."""
    spread, compared = np.zeros((*shape, arms)), (*shape, len(pairs.compared))
    none, whole = np.zeros(compared, bool), np.zeros(compared, int)
    return State(spread, spread, none, none, whole, whole + len(pairs.compared))


def trained(state: State, pairs: Pairs) -> Flags:
    """Return which arms the next look is about, (..., arms): open ones and what these need."""
    found = np.zeros(state.variance.shape, bool)
    for arm, other in zip(pairs.arm, pairs.other, strict=True):
        is_open = state.open[..., pairs.compared.index(arm)]
        found[..., arm] |= is_open
        found[..., other] |= is_open
    return found


def look(state: State, scores: Array, seeds: int, pairs: Pairs) -> tuple[State, Measured]:
    """Judge the open arms by their first `seeds` seeds; return the new state and the comparisons.

    Decided arms keep the spread of their last look, whatever scores they have.
    """
    counts, by_case, variance = _summaries(scores[..., :seeds, :])
    own = trained(state, pairs)
    state = replace(
        state,
        variance=np.where(own, variance, state.variance),
        free=np.where(own, np.maximum(counts - 1, 0), state.free),
        seeds=np.where(state.open, seeds, state.seeds),
    )
    measured = _measured(state, counts, by_case, pairs)
    absent = (counts[..., list(pairs.other)] == 0) & (np.array(pairs.other) > 0)
    state = _claim(state, measured, absent, by_case, seeds, pairs)
    lost = (counts[..., list(pairs.compared)] == 0) | (scores.shape[-1] < 2)
    return _drop(state, measured, lost, seeds, pairs), measured


def reach(measured: Measured, seeds: int, comparisons: int) -> Array:
    """Return half the length of the intervals of the differences, (..., comparisons).

    The intervals of all comparisons at all looks hold the true differences in 95% of studies, so an
    arm's interval is right whatever look it ended with.
    """
    level = levels(comparisons, LOOKS)[seeds]
    return np.asarray(scipy.stats.t.isf(level, measured.free) * measured.error)


def between(state: State, scores: Array, pairs: Pairs) -> Measured:
    """Return comparisons of any arms by all their seeds, with the spreads of `state`."""
    counts, by_case, _ = _summaries(scores)
    return _measured(state, counts, by_case, pairs)


def typical(variance: Array, free: Array) -> Array:
    """Return the variance of a typical arm, (...), from (..., arms); 0 if no arm has two seeds.

    The median limits the influence of an unstable arm. The median of estimated variances is below
    the true variance by a factor from chi-square.
    """
    most = int(free.max(initial=1))
    shrunk = np.array([1.0, *(scipy.stats.chi2.median(n) / n for n in range(1, most + 1))])
    known = np.where(free > 0, variance / shrunk[free.astype(int)], np.inf)
    order, several = np.sort(known, axis=-1), np.asarray((free > 0).sum(axis=-1))
    low, high = (
        np.take_along_axis(order, place[..., None], axis=-1)[..., 0]
        for place in (np.maximum(several - 1, 0) // 2, several // 2)
    )
    return np.where(several > 0, (low + high) / 2, 0.0)


def _summaries(scores: Array) -> tuple[Array, Array, Array]:
    """Return each arm's number of seeds, mean scores by case, and variance over seeds."""
    there = np.asarray(~np.isnan(scores).any(axis=-1))
    counts = there.sum(axis=-1).astype(float)
    filled = np.where(there[..., None], scores, 0.0)
    number = np.maximum(counts, 1)
    by_case = np.where(counts[..., None] > 0, filled.sum(axis=-2) / number[..., None], np.nan)
    means = filled.mean(axis=-1)
    away = means - (means.sum(axis=-1) / number)[..., None]
    squares = np.where(there, away**2, 0.0).sum(axis=-1)
    return counts, by_case, squares / np.maximum(counts - 1, 1)


def _measured(state: State, counts: Array, by_case: Array, pairs: Pairs) -> Measured:
    """Return the comparisons; the variance of an arm is at least that of a typical arm.

    An arm that does not vary more than the typical one borrows degrees of freedom, up to half of
    those of all arms.
    """
    usual = typical(state.variance, state.free)[..., None]
    variance = np.maximum(state.variance, usual)
    alike = np.where(variance > 0, usual / np.where(variance > 0, variance, 1.0), 0.0) ** 2
    borrowed = np.maximum(state.free.sum(axis=-1, keepdims=True) / 2 - state.free, 0) * alike
    free = np.maximum(state.free + borrowed, 1e-9)
    first, second = list(pairs.other), list(pairs.arm)
    away = by_case[..., second, :] - by_case[..., first, :]
    cases = away.shape[-1]
    testable = np.asarray(np.minimum(counts[..., first], counts[..., second]) > 1)
    if cases < 2 or not testable.any():
        nothing = np.full(testable.shape, np.nan)
        return Measured(away.mean(axis=-1), nothing, nothing, nothing, nothing)
    part = away.var(axis=-1, ddof=1) / cases
    total, squares = part, part**2 / (cases - 1)
    for side in (first, second):
        own = variance[..., side] / np.maximum(counts[..., side], 1)
        total, squares = total + own, squares + own**2 / free[..., side]
    difference, error = away.mean(axis=-1), np.sqrt(total)
    spread = np.asarray(error > _NO_SPREAD)
    freedom = np.where(spread, total**2 / np.where(spread, squares, 1.0), 1.0)
    t = np.where(spread, difference / np.where(spread, error, 1.0), 0.0)
    p = np.where(spread, scipy.stats.t.sf(t, freedom), 1.0)
    return Measured(difference, *(np.where(testable, v, np.nan) for v in (error, freedom, t, p)))


def _claim(
    state: State, measured: Measured, absent: Flags, by_case: Array, seeds: int, pairs: Pairs
) -> State:
    """Call open arms better, one step after another: each claim leaves its level to the others."""
    total = len(pairs.compared)
    allowed = np.array([levels(max(total - n, 1)).get(seeds, 0.0) for n in range(total + 1)])
    p = np.where(absent, -1.0, np.where(np.isnan(measured.p), 2.0, measured.p))
    largest = np.where(pairs.owners, p[..., None, :], -1.0).max(axis=-1)
    hopeful = state.open & (largest >= 0) & (largest < allowed.max())
    hopeful &= _by_cases(by_case, hopeful, absent, pairs)
    better, share = state.better, state.share
    for _ in range(total):
        accepted = better.sum(axis=-1)
        left = state.open & ~better
        share = np.where(left, (total - accepted)[..., None], share)
        better = better | (left & hopeful & (largest < allowed[accepted][..., None]))
    return replace(state, better=better, share=share)


def _by_cases(by_case: Array, hopeful: Flags, absent: Flags, pairs: Pairs) -> Flags:
    """Return which hopeful arms Wilcoxon's test finds different in all their comparisons."""
    found = hopeful.copy()
    for place, (arm, other) in enumerate(zip(pairs.arm, pairs.other, strict=True)):
        own = pairs.compared.index(arm)
        asked = found[..., own] & ~absent[..., place]
        if asked.any():
            first, second = (by_case[asked][..., [one], :] for one in (other, arm))
            found[asked, own] = p_cases(first, second) < ALPHA
    return found


def _drop(state: State, measured: Measured, lost: Flags, seeds: int, pairs: Pairs) -> State:
    """Drop open arms of which a comparison lies too low, and those that cannot be tested."""
    last = float(scipy.stats.norm.isf(levels(len(pairs.compared))[LOOKS[-1]]))
    t = np.where(np.isnan(measured.t), np.inf, measured.t)
    least = np.where(pairs.owners, t[..., None, :], np.inf).min(axis=-1)
    low = least < DROPPED_BELOW.get(seeds, -np.inf) * last
    return replace(state, dropped=state.dropped | (state.open & (low | lost)))
