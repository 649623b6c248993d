"""Power of a comparison: spreads of scores, and the differences that it can find.

Power is given as a range. It is simulated with the spreads of the pair, which a few trainings
estimate poorly; the range covers the power at 95% of the spreads that could have produced these
trainings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from normsearch.config.metric import Bounds
from normsearch.confirmation.arm_table import Roles
from normsearch.confirmation.pair_tests import ALPHA, Array, degrees_of_freedom
from normsearch.confirmation.score_table import score_table

SHARE, DIFFERENCE = 0.8, 0.02
_RANGE = (0.025, 0.975)
_DRAWS = 100  # draws of the spreads
_STUDIES = 200  # simulated for each draw
_EXACT = 60  # largest number of cases for which all pairs are used
_PAIRS = 1000  # number of pairs used for more cases


@dataclass(frozen=True)
class Components:
    """The sources of the variation of scores, as standard deviations.

    `seed`: of an arm's mean over cases, between trainings. `interaction`: of the difference between
    two arms, between cases, with seeds averaged. `case`: of a case's mean score, between cases.
    """

    seed: float
    interaction: float
    case: float


@dataclass(frozen=True)
class Range:
    """An estimate with its 95% range."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Power:
    """The power of a comparison like that of `arm` with the reference.

    `found`: how often a true `difference`, a fiftieth of the metric's range, is found; None for a
    metric without a range. `detectable`: the true difference that is found in a `share` of such
    studies, infinite if none that the metric can have is. For a mixture, both comparisons must find
    it.
    """

    arm: str
    difference: float | None
    found: Range | None
    share: float
    detectable: Range


def components(scores: pd.DataFrame) -> Components:
    """Return the spreads of a typical arm; medians limit the influence of an unstable one.

    Raises:
        DataError: as for `score_table`.
    """
    table = score_table(scores)
    parts = [table.values(arm) for arm in table.arms]
    several = [part.mean(axis=1) for part in parts if len(part) > 1]
    means = np.stack([part.mean(axis=0) for part in parts])
    arms, cases = means.shape
    away = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    free = max((arms - 1) * (cases - 1) / arms, 1.0)  # of each arm's share
    return Components(
        seed=_typical([part.var(ddof=1) for part in several], [len(part) - 1 for part in several]),
        interaction=2**0.5 * _typical((away**2).sum(axis=1) / free, [free] * arms),
        case=float(means.mean(axis=0).std(ddof=1)) if cases > 1 else float("nan"),
    )


def _typical(variances: npt.ArrayLike, free: list[float]) -> float:
    """Return the standard deviation of a typical arm, from the median of the variances.

    The median of estimated variances is below the true variance by a factor from chi-square.
    """
    if not free:
        return float("nan")
    shrunk = np.array([scipy.stats.chi2.median(degrees) / degrees for degrees in free])
    return float(np.sqrt(np.median(np.asarray(variances, float) / shrunk)))


@dataclass(frozen=True)
class Precision:
    """The differences that a comparison of two arms with as many cases and seeds can find.

    The result of `precision`. `needed`: the smallest true difference at which each simulated study
    calls the second arm better, (spreads drawn, studies).
    """

    needed: Array

    def power(self, difference: float) -> Range:
        """Return the probability that a true `difference` is found."""
        return _range((self.needed <= difference).mean(axis=-1))

    def detectable(self, share: float = 0.8) -> Range:
        """Return the true difference that is found in a `share` of studies.

        It is infinite if no difference can be found; see `needed_cases`.
        """
        return _range(np.quantile(self.needed, share, axis=-1, method="higher"))


def precision(
    first: Array, second: Array, *, comparisons: int = 1, paired: bool = False, seed: int = 0
) -> Precision:
    """Simulate comparisons of two arms, at spreads that could have produced their scores.

    Seeds are normal, with the variance of each arm drawn as (n − 1) s² over chi-square. Cases are
    the observed differences between the arms, resampled with the weights of a Bayesian bootstrap.
    Both tests of `compare` must find the difference, with a p-value below 0.05 divided by the
    number of comparisons, which is as strict as Holm's first step.

    Args:
        first, second: scores of two arms, (seeds, cases), at least two of each.
        comparisons: number of simultaneous comparisons.
        paired: as for `compare`; rows are then the same seeds.
        seed: seed of the simulation.
    """
    random = np.random.default_rng(seed)
    away = second.mean(axis=0) - first.mean(axis=0)
    means = [arm.mean(axis=1) for arm in (first, second)]
    by_seed = [means[1] - means[0]] if paired else means
    studies = max(20, min(_STUDIES, 200_000 // len(away)))
    fewer = min(len(first), len(second)) - 1
    drawn = [
        _needed(random, away, by_seed, fewer, ALPHA / comparisons, studies) for _ in range(_DRAWS)
    ]
    return Precision(np.stack(drawn))


def _needed(
    random: np.random.Generator,
    away: Array,
    by_seed: Sequence[Array],
    fewer: int,
    level: float,
    studies: int,
) -> Array:
    """Return the difference that each of `studies` needs, at one draw of the spreads."""
    cases = len(away)
    shares = random.dirichlet(np.ones(cases))
    taken = random.choice(cases, (studies, cases), p=shares)
    # Weights and resampling shrink the variance by n / (n + 1) and (n − 1) / n.
    differences = (away - shares @ away)[taken] * np.sqrt((cases + 1) / (cases - 1))
    parts = [(differences.var(axis=-1, ddof=1) / cases, cases - 1)]
    middle = differences.mean(axis=-1)
    for values in by_seed:
        count = len(values)
        spread = np.sqrt(values.var(ddof=1) * (count - 1) / random.chisquare(count - 1))
        trainings = random.normal(0, spread, (studies, count))
        parts.append((trainings.var(axis=-1, ddof=1) / count, count - 1))
        shift = trainings.mean(axis=-1, keepdims=True)
        middle, differences = middle + shift[:, 0], differences + shift
    error = np.sqrt(sum(part for part, _ in parts))
    by_t = scipy.stats.t.isf(level / 2, degrees_of_freedom(parts, fewer)) * error - middle
    return np.asarray(np.maximum(by_t, _needed_by_ranks(random, differences, level)))


def _needed_by_ranks(random: np.random.Generator, differences: Array, level: float) -> Array:
    """Return the shift at which Wilcoxon's test finds each row's differences to be above 0.

    After this shift, few enough means of two cases are below 0.
    """
    studies, cases = differences.shape
    below = _most_below(cases, level)
    if below < 0:
        return np.full(studies, np.inf)
    pairs = cases * (cases + 1) // 2
    first, second = np.triu_indices(cases) if cases <= _EXACT else (
        random.integers(cases, size=(2, _PAIRS)))  # fmt: skip
    means = (differences[:, first] + differences[:, second]) / 2
    place = below if cases <= _EXACT else int(below / pairs * _PAIRS)
    lowest: Array = np.partition(means, place, axis=-1)[:, place]
    return -lowest


def _most_below(cases: int, level: float) -> int:
    """Return the largest sum of negative ranks with a two-sided p-value below `level`, else −1."""
    if cases > 50:  # scipy's test is exact up to here
        mean, variance = cases * (cases + 1) / 4, cases * (cases + 1) * (2 * cases + 1) / 24
        return int(np.ceil(mean - scipy.stats.norm.isf(level / 2) * np.sqrt(variance))) - 1
    ways = np.ones(1)
    for rank in range(1, cases + 1):
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways
        longer[rank:] += ways
        ways = longer
    p_values = 2 * np.cumsum(ways) / 2.0**cases
    return int(np.searchsorted(p_values, level, side="left")) - 1


def needed_cases(comparisons: int) -> int:
    """Return the smallest number of cases with which Wilcoxon's test can find a difference.

    If n cases all differ in the same direction, its two-sided p-value is 2 / 2^n. Holm's first step
    multiplies it by the number of comparisons.

    >>> needed_cases(1), needed_cases(10)
    (6, 9)
    """
    cases = 1
    while max(comparisons, 1) * 2.0 ** (1 - cases) >= ALPHA:
        cases += 1
    return cases


def _range(values: Array) -> Range:
    low, middle, high = np.quantile(values, (_RANGE[0], 0.5, _RANGE[1]), method="higher")
    return Range(float(middle), float(low), float(high))


def power_of(
    scores: pd.DataFrame, table: pd.DataFrame, reference: str, roles: Roles, bounds: Bounds
) -> Power | None:
    """Return the power for the search's best mixture, else for the arm with the median interval."""
    values = score_table(scores)
    width = table.set_index("arm")["total_high"] - table.set_index("arm")["total_low"]
    width = width[width.index != reference].sort_values()
    arm = next((name for name in roles.mixtures if name in width), width.index[len(width) // 2])
    beside = roles.beside.get(arm)
    others = dict.fromkeys([reference, beside if beside in values.arms else reference])
    found = [
        precision(values.values(other), values.values(arm), comparisons=len(width))
        for other in others
        if other is not None
    ]
    if all(one.needed.max() == one.needed.min() for one in found):  # no spread
        return None
    each = SHARE ** (1 / len(found))
    span = bounds[1] - bounds[0]
    difference = DIFFERENCE * span if span < math.inf else None
    needed = [one.detectable(each) for one in found]
    least = max(one.detectable(SHARE).low for one in found)
    sizes = max(one.estimate for one in needed), least, max(one.high for one in needed)
    return Power(
        arm=str(arm),
        difference=difference,
        found=None if difference is None else _all_find(found, difference),
        share=SHARE,
        detectable=Range(*(size if size <= span else math.inf for size in sizes)),
    )


def _all_find(found: list[Precision], difference: float) -> Range:
    """Return how often every comparison finds a true `difference`."""
    powers = [one.power(difference) for one in found]
    low = estimate = 1.0
    for one in powers:  # a lower bound, since the two comparisons share an arm
        low, estimate = low * one.low, estimate * one.estimate
    return Range(estimate, low, min(one.high for one in powers))
