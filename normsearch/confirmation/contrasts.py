"""One quantity that a statement is about: its values by training, its mean and the interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from normsearch.confirmation.pair_tests import ALPHA, Array, degrees_of_freedom
from normsearch.errors import DataError

Claim = Literal["above", "within"]
Outcome = Literal["reproduced", "contradicted", "equivalent", "not distinguishable"]
RANGES = {"rank correlation": (-1.0, 1.0)}  # of units whose values cannot lie outside


@dataclass(frozen=True, eq=False)
class Contrast:
    """A mean that a statement makes a claim about.

    Attributes:
        name: what is measured, for people.
        values: (seeds,) independent values, or (seeds, cases) paired differences on the same cases.
        claim: ``above``: the mean is above 0; ``within``: it is no further from 0 than `margin`.
        margin: the largest difference that does not matter, in the unit of the values. None for a
            claim ``above`` that leaves no room for "equivalent".
        unit: of the values, for tables and figures.
        published: the same quantity in the paper, if it says one.
        ratio: the values are logarithms of ratios; tables and figures show the ratio.
        exact: the one value is a count, the same in every training: its interval is itself.
    """

    name: str
    values: Array
    claim: Claim = "above"
    margin: float | None = None
    unit: str = ""
    published: float | None = None
    ratio: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim not in (1, 2) or not self.values.size:
            raise DataError(
                f"{self.name}: values must be (seeds,) or (seeds, cases), got {self.values.shape}."
            )
        if not np.isfinite(self.values).all():
            raise DataError(f"{self.name}: every value must be a number, got NaN or infinity.")
        if self.claim not in ("above", "within"):
            raise DataError(f"{self.name}: claim must be above or within, got {self.claim!r}.")
        if self.margin is not None and not 0 < self.margin < math.inf:
            raise DataError(f"{self.name}: margin must be above 0, got {self.margin}.")
        if self.claim == "within" and self.margin is None:
            raise DataError(f"{self.name}: a claim of equivalence must have a margin above 0.")
        published = abs(self.published) if self.published is not None else math.inf
        if self.claim == "above" and (self.margin or 0) >= published:
            raise DataError(
                f"{self.name}: margin must be below the published {published:g}, else the paper's "
                f"own effect would not matter; got {self.margin:g}."
            )

    def interval(self, comparisons: int = 1) -> tuple[float, float, float]:
        """Return mean and confidence interval, 95% for all of `comparisons` together (Bonferroni).

        The error of values by seed and case is that of both samples, sqrt(v_cases / cases +
        v_seeds / seeds), with Welch and Satterthwaite's degrees of freedom, three times those of
        the seeds at most; see `pair_tests.degrees_of_freedom`. The ends are NaN with one seed or
        one case, and where all values are equal: no spread is an estimate of nothing. An interval
        ends where the range of its unit does (`RANGES`).
        """
        mean, (error, free) = float(self.values.mean()), self._error()
        if self.exact:
            return mean, mean, mean
        reach = error * float(scipy.stats.t.isf(ALPHA / 2 / comparisons, free))
        low, high = np.clip([mean - reach, mean + reach], *RANGES.get(self.unit, (None, None)))
        return mean, float(low), float(high)

    def detectable(self, comparisons: int = 1, seeds: int | None = None) -> float:
        """Return what such a study, of as many seeds, shows in 80% of cases.

        Of a claim ``above``: the mean whose interval lies above 0. Of a claim ``within``: the
        margin inside which the interval lies if the mean is 0. More seeds lower the seeds' part of
        the error, and of the cases' part what is the chance of a training at a case; how truly
        different cases are stays.
        """
        error, free = self._error(seeds)
        tail = 0.2 if self.claim == "above" else 0.1  # of both sides together
        return error * float(
            scipy.stats.t.isf(ALPHA / 2 / comparisons, free) + scipy.stats.t.isf(tail, free)
        )

    def seeds_for(self, effect: float, comparisons: int = 1, most: int = 10_000) -> int | None:
        """Return how many seeds find a mean of `effect` in 80% of studies; None: no number."""
        low, high = 2, most
        if not self.detectable(comparisons, most) <= effect:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.detectable(comparisons, middle) <= effect:
                high = middle
            else:
                low = middle + 1
        return low

    def _error(self, seeds: int | None = None) -> tuple[float, float]:
        """The standard error and its degrees of freedom, for `seeds` rows; NaN if unknown."""
        if min(self.values.shape) < 2:
            return math.nan, math.nan
        by_seed = self.values if self.values.ndim == 1 else self.values.mean(axis=1)
        count = seeds or len(by_seed)
        parts = [(np.asarray(by_seed.var(ddof=1) / count), count - 1)]
        if self.values.ndim == 2:
            cases = self.values.shape[1]
            parts.append((np.asarray(self._case_variance(count) / cases), cases - 1))
        error = math.sqrt(sum(float(part) for part, _ in parts))
        if error <= 1e-12:
            return math.nan, math.nan
        return error, float(degrees_of_freedom(parts, count - 1))

    def _case_variance(self, seeds: int) -> float:
        """The variance between means of cases over `seeds` rows; as measured for those there are.

        Means of S rows vary by what the cases differ and by residuals / S (two-way analysis of
        variance without replication); where that is more than was measured, all of it is residuals.
        """
        rows, cases = self.values.shape
        by_seed, by_case = self.values.mean(axis=1, keepdims=True), self.values.mean(axis=0)
        found = float(by_case.var(ddof=1))
        residuals = self.values - by_seed - by_case + self.values.mean()
        chance = float((residuals**2).sum()) / ((rows - 1) * (cases - 1)) / rows
        return float(found + min(chance, found) * (rows / seeds - 1))

    def outcome(self, comparisons: int = 1) -> Outcome:
        """Return what the interval says of the claim."""
        _, low, high = self.interval(comparisons)
        margin = self.margin or 0.0
        if self.claim == "above":
            if low > 0:
                return "reproduced"
            if high < 0:
                return "contradicted"
            return "equivalent" if -margin < low and high < margin else "not distinguishable"
        if -margin < low and high < margin:
            return "reproduced"
        return "contradicted" if low > margin or high < -margin else "not distinguishable"


def judge(contrasts: Sequence[Contrast]) -> Outcome:
    """Return the verdict on a statement that holds if every contrast's claim does.

    The one rule: each interval is one of 95% for all contrasts together. ``reproduced``: every
    claim is; ``contradicted``: one is; ``equivalent``: those not reproduced are equivalent within
    their margins; else ``not distinguishable``.
    """
    found = {contrast.outcome(len(contrasts)) for contrast in contrasts}
    if "contradicted" in found:
        return "contradicted"
    if "not distinguishable" in found:
        return "not distinguishable"
    return "equivalent" if "equivalent" in found else "reproduced"


def difference(
    scores: pd.DataFrame,
    of: str | float,
    over: str | float,
    *,
    name: str | None = None,
    **more: Any,
) -> Contrast:
    """Return the contrast of one column of `scores` less another.

    Args:
        scores: a row a seed, or a (seed, case); a column each of what is compared.
        of, over: columns.
        name: for people; made of the columns if None.
        more: claim, margin, unit and published of `Contrast`.

    Raises:
        DataError: there is no such column.
    """
    return weighted(scores, {of: 1.0, over: -1.0}, name or f"{of} above {over}", **more)


def slope(
    scores: pd.DataFrame, *, name: str, falls: bool = False, log2: bool = True, **more: Any
) -> Contrast:
    """Return the least-squares slope of each row of `scores` on its columns, numbers.

    Args:
        scores: as of `difference`; two columns or more.
        name: for people.
        falls: whether the statement says that it falls: then the slope's negative is returned.
        log2: whether the slope is on the columns' binary logarithm, a slope per doubling.
        more: claim, margin, unit and published of `Contrast`.
    """
    places = np.asarray(scores.columns, float)
    places = np.log2(places) if log2 else places
    away = places - places.mean()
    weights = (-1 if falls else 1) * away / (away**2).sum()
    return weighted(scores, dict(zip(scores.columns, weights.tolist(), strict=True)), name, **more)


def weighted(
    scores: pd.DataFrame, weights: Mapping[Any, float], name: str, **more: Any
) -> Contrast:
    """Return the contrast of a weighted sum of columns of `scores`; see `difference`.

    Raises:
        DataError: there is no such column, or a row lacks a value.
    """
    for column in weights:
        if column not in scores:
            raise DataError(
                f"{name}: must be of {', '.join(map(str, scores.columns))}, got {column}."
            )
    total = sum(scores[column] * weight for column, weight in weights.items())
    series = pd.Series(total, scores.index)
    if series.isna().any():
        first = series.index[series.isna()][0]
        raise DataError(f"{name}: every training must have a value, and {first} has none.")
    if series.index.nlevels == 1:
        return Contrast(name, series.to_numpy(float), **more)
    table = series.unstack("case")
    if table.isna().to_numpy().any():
        raise DataError(f"{name}: every seed must be scored on the same cases.")
    return Contrast(name, table.to_numpy(float), **more)


def mean_of(values: npt.ArrayLike | pd.Series[float], name: str, **more: Any) -> Contrast:
    """Return the contrast of independent values, one a seed or a pair of seeds."""
    return Contrast(name, np.asarray(values, float), **more)


def agreement(profiles: pd.DataFrame, *, name: str, **more: Any) -> Contrast:
    """Return how far independent trainings agree in the order of the columns.

    Rows are trainings with seeds of their own, in the order of the index; the first and second,
    third and fourth, ... are pairs. A pair's value is Spearman's rank correlation of its two rows;
    without any order of the columns the mean is 0. A last row without a partner is left out.

    Raises:
        DataError: fewer than four rows, or than three columns.
    """
    if len(profiles) < 4 or profiles.shape[1] < 3:
        raise DataError(f"{name}: must have 4 trainings and 3 columns, got {profiles.shape}.")
    table = profiles.to_numpy(float)
    found = [
        0.0
        if min(np.ptp(first), np.ptp(second)) == 0
        else float(scipy.stats.spearmanr(first, second)[0])
        for first, second in zip(table[0::2], table[1::2], strict=False)
    ]
    return Contrast(name, np.array(found), **more)


def power(effect: float, sd: float, seeds: int, comparisons: int = 1) -> float:
    """Return how often the interval of `seeds` values of this SD lies above 0 (noncentral t).

    >>> round(power(effect=0.02, sd=0.01, seeds=5), 2)
    0.91
    """
    free, shift = seeds - 1, effect / sd * math.sqrt(seeds)
    return float(scipy.stats.nct.sf(scipy.stats.t.isf(ALPHA / 2 / comparisons, free), free, shift))
