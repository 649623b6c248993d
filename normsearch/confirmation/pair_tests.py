"""Tests of two arms on the same cases, and the confidence interval of one arm's mean.

Scores are arrays (..., seeds, cases); leading axes are studies that are tested at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy

ALPHA = 0.05
_LIMIT = 3.0  # most degrees of freedom, for each of the arm with fewer seeds

Array = npt.NDArray[np.float64]


def t_reach(values: Array) -> float:
    """Return half the length of the 95% interval of the mean of two or more independent values."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(error * scipy.stats.t.ppf(1 - ALPHA / 2, len(values) - 1))


def mean_interval(scores: Array) -> tuple[Array, Array]:
    """Return the 95% interval of the mean of (..., seeds, cases), by t over cases and seeds.

    The end on the side of the longer tail lies further out, by the first term of the studentized
    mean's Cornish-Fisher expansion, skewness · (1 + 2 t²) / (6 √cases) (Johnson 1978; Hall 1992).
    With 15 cases of a Dice of skewness −1.6 the plain interval covers the mean in 92%, this one in
    95%. No interval accounts for hard cases too rare to be in the sample. NaN with one seed or one
    case, which give no spread.
    """
    if min(scores.shape[-2:]) < 2:
        nothing = np.full(scores.shape[:-2], np.nan)
        return nothing, nothing
    by_case, by_seed = scores.mean(axis=-2), scores.mean(axis=-1)
    error, free = _error([by_case, by_seed], by_seed.shape[-1] - 1)
    mean, t = by_case.mean(axis=-1), scipy.stats.t.isf(ALPHA / 2, free)
    away = by_case - mean[..., None]
    spread = np.maximum((away**2).mean(axis=-1), 1e-300)
    tail = (away**3).mean(axis=-1) / spread * (1 + 2 * t**2) / (6 * by_case.shape[-1])
    return mean - t * error + np.minimum(tail, 0), mean + t * error + np.maximum(tail, 0)


def p_cases(first: Array, second: Array) -> Array:
    """Return Wilcoxon's signed-rank p-values of (..., seeds, cases), seeds averaged."""
    away = second.mean(axis=-2) - first.mean(axis=-2)
    equal = ~away.any(axis=-1)
    if equal.all():
        return np.ones(away.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(equal, 1.0, scipy.stats.wilcoxon(away, axis=-1).pvalue)


def p_total(first: Array, second: Array, *, paired: bool = False) -> Array:
    """Return the t test's p-values of (..., seeds, cases), NaN with under two seeds or cases."""
    if min(first.shape[-2], second.shape[-2], first.shape[-1]) < 2:
        return np.full(first.shape[:-2], np.nan)
    difference, error, free = difference_of(first, second, paired=paired)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * scipy.stats.t.sf(np.abs(difference) / error, free)
    # Scores without any spread are no evidence, since an error of 0 cannot be estimated.
    return np.asarray(np.where(error == 0, 1.0, p))


def p_both(first: Array, second: Array, *, paired: bool = False) -> Array:
    """Return the larger of `p_cases` and `p_total`; NaN if one of them is."""
    return np.maximum(p_cases(first, second), p_total(first, second, paired=paired))


def difference_of(
    first: Array, second: Array, *, paired: bool = False
) -> tuple[Array, Array, Array]:
    """Return the mean difference, its standard error, and the error's degrees of freedom.

    Args:
        first, second: (..., seeds, cases) of two arms on the same cases; `second` less `first`.
        paired: whether row s of both is one seed, see `compare`.
    """
    away = second.mean(axis=-2) - first.mean(axis=-2)
    means = [arm.mean(axis=-1) for arm in (first, second)]
    by_seed = [means[1] - means[0]] if paired else means
    fewer = min(first.shape[-2], second.shape[-2]) - 1
    error, free = _error([away, *by_seed], fewer)
    return np.asarray(away.mean(axis=-1)), error, free


def _error(samples: list[Array], seeds_free: int) -> tuple[Array, Array]:
    """Return the standard error of a sum of independent means, and its degrees of freedom.

    The values of each sample are along the last axis.
    """
    parts = [(v.var(axis=-1, ddof=1) / v.shape[-1], v.shape[-1] - 1) for v in samples]
    variance = np.sum([part for part, _ in parts], axis=0)
    return np.asarray(np.sqrt(variance)), degrees_of_freedom(parts, seeds_free)


def degrees_of_freedom(parts: Sequence[tuple[Array, int]], seeds_free: int) -> Array:
    """Return Welch and Satterthwaite's degrees of freedom of a sum of variances, limited.

    The estimate is far too large if few seeds have equal scores by chance, so it is limited to
    three times those of the arm with fewer seeds. Of 4,000 null studies of two arms, at most 5% are
    then called different with 5 seeds against 2 (8.6% without the limit), 3 against 3 or 5 against
    5, and with 8 arms; up to 10% if the arm of two seeds varies four times as much as the other.

    Args:
        parts: variances of means, and the degrees of freedom each was estimated with.
        seeds_free: one less than the fewer seeds.
    """
    variance = np.sum([part for part, _ in parts], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = variance**2 / np.sum([part**2 / degrees for part, degrees in parts], axis=0)
    return np.asarray(np.fmin(free, _LIMIT * seeds_free))
