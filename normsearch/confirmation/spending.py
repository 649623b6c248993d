"""Error levels of a confirmation in looks, by Lan and DeMets's spending function.

A hypothesis that is tested at several looks, each with more seeds, would be rejected by chance more
often than one that is tested once. A spending function says how much of the level may be used up to
each look; the level of a single look follows from the joint distribution of the looks' statistics,
whose increments are independent (Lan and DeMets 1983; Jennison and Turnbull 2000, chapter 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

from normsearch.config.arms import LOOKS

CLAIMS = (3, 5, 8)
"""The looks at which an arm may be called better: two seeds estimate no spread well enough."""
ONE_SIDED = 0.025
"""The probability that any arm is wrongly called better."""
_NODES, _END = 160, 8.0  # of the numerical integration; its lower end, in standard deviations
_GAUSS = np.polynomial.legendre.leggauss(_NODES)


def levels(comparisons: int, looks: Sequence[int] = CLAIMS) -> dict[int, float]:
    """Return {seeds: one-sided level of the look} for one of so many comparisons (Bonferroni).

    Up to k of 8 seeds the share (k / 8)² of the level is spent.

    >>> {seeds: round(level, 5) for seeds, level in levels(1).items()}
    {3: 0.00352, 5: 0.0078, 8: 0.02006}
    """
    return dict(zip(looks, _levels(ONE_SIDED / comparisons, tuple(looks)), strict=True))


def adjusted(p: float, seeds: int, comparisons: int) -> float:
    """Return a two-sided p-value corrected for looks and comparisons, NaN if the look claims none.

    It is twice the smallest probability of any wrong claim at which this look's one-sided `p` would
    allow a claim (a repeated p-value, Jennison and Turnbull 2000, chapter 9): below 0.05 if and
    only if `p` is below the look's level.

    >>> round(adjusted(levels(4)[5], 5, 4), 6)
    0.05
    """
    if seeds not in CLAIMS or math.isnan(p):
        return math.nan
    place = CLAIMS.index(seeds)

    def above(log_level: float) -> float:
        return _levels(math.exp(log_level), CLAIMS)[place] - p

    low, high = math.log(1e-12), math.log(0.49)
    if above(high) <= 0:
        return 1.0
    if above(low) >= 0:
        return 2e-12 * comparisons
    return min(1.0, 2 * comparisons * math.exp(scipy.optimize.brentq(above, low, high, xtol=1e-9)))


@lru_cache(maxsize=4096)
def _levels(level: float, looks: tuple[int, ...]) -> tuple[float, ...]:
    """Return the level of each look if `level` is spent as the square of the share of seeds."""
    found: list[float] = []
    density: npt.NDArray[np.float64] = np.array([1.0])
    sums: npt.NDArray[np.float64] = np.array([0.0])
    before, spent = 0, 0.0
    for seeds in looks:
        wanted = level * (seeds / LOOKS[-1]) ** 2 - spent
        spent, step = spent + wanted, math.sqrt(seeds - before)
        end = _END * math.sqrt(seeds)
        bound = scipy.optimize.brentq(_excess, -end, end, args=(density, sums, step, wanted))
        found.append(float(scipy.stats.norm.sf(bound / math.sqrt(seeds))))
        # The density of the sum of `seeds` increments, where no look so far has made a claim.
        nodes = (bound + end) / 2 * _GAUSS[0] + (bound - end) / 2
        weights = (bound + end) / 2 * _GAUSS[1]
        density = weights * (_normal((nodes[:, None] - sums) / step) / step @ density)
        sums, before = nodes, seeds
    return tuple(found)


def _excess(
    bound: float,
    density: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    step: float,
    wanted: float,
) -> float:
    return float(density @ scipy.stats.norm.sf((bound - sums) / step)) - wanted


def _normal(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-(values**2) / 2) / math.sqrt(2 * math.pi))
