"""Which training seed a search is given of a row of a table, and by which seeds it is judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from normsearch.benchmark.table import Table, check_table, check_whole_number


class Replicates:
    """The seeds of a table as one search meets them.

    Every row has its seeds in a random order. The last of them is kept for judging; the others are
    given one after the other, and from the start again once all were given. A table of one seed
    has nothing to keep: that seed is given and judges as well.

    Args:
        table: the recorded trainings.
        seed: of the order; the same seed gives every method the same trainings of a row.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self._table, self._seed = table, seed
        self._given: Counter[int] = Counter()

    def draw(self, row: int) -> int:
        """Return the index of the seed of the next training of `row`."""
        order = self._order(row)
        given = int(order[self._given[row] % max(1, len(order) - 1)])
        self._given[row] += 1
        return given

    def truth(self, row: int) -> float:
        """Return the mean final score of `row` over the seeds that were not given so far."""
        order = self._order(row)
        kept = order[min(self._given[row], len(order) - 1) :]
        return float(self._table.finals[kept, row].mean())

    def regret(self, row: int) -> float:
        """Return how far the truth of `row` is below the best mean over all seeds.

        The best mean is the highest of many, and so a little above the best row's own: by the same
        amount for every method. A single regret may be below 0.
        """
        return float(self._table.final.max() - self.truth(row))

    def _order(self, row: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self._seed, row)).permutation(len(self._table.seeds))


TOP = 20  # a single row's regret depends much on luck


@dataclass(frozen=True)
class NoiseCeiling:
    """How far one training of a row tells of another.

    Attributes:
        correlation: Spearman's rank correlation of final scores between two seeds, the mean over
            all pairs of seeds: what one training of each row can tell at most of the order.
        low, high: its 95% interval over rows (percentile bootstrap).
        deviation: standard deviation of a row's final score between seeds: the root of the rows'
            median variance, over that of the chi-square distribution, so that collapsed trainings
            of a few rows do not decide it.
        regret: what is lost by who knows all seeds but the one that judges: `Replicates.regret`
            of the rows with the best means of the other seeds, the mean over the `TOP` best rows
            and over the seeds that judge.
    """

    correlation: float
    low: float
    high: float
    deviation: float
    regret: float


def noise_ceiling(table: Table, *, seed: int = 0, resamples: int = 1000) -> NoiseCeiling:
    """Return how well the seeds of a table agree.

    Args:
        table: with two seeds or more.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        ConfigError: the table is none, the bootstrap's seed or number is no whole number.
        ValueError: the table has one seed.
    """
    check_table("noise_ceiling", table)
    check_whole_number("seed", seed, 0)
    check_whole_number("resamples", resamples, 1)
    finals = table.finals
    if len(finals) < 2:
        raise ValueError(f"noise_ceiling: needs two seeds or more, got {list(table.seeds)}")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(finals.shape[1], size=(resamples, finals.shape[1]))
    low, high = np.quantile([_agreement(finals[:, rows]) for rows in drawn], [0.025, 0.975])
    free = len(finals) - 1
    typical = np.median(finals.var(axis=0, ddof=1)) * free / scipy.stats.chi2.median(free)
    regret = np.mean([_left_out_regret(finals, judge) for judge in range(len(finals))])
    return NoiseCeiling(
        _agreement(finals), float(low), float(high), float(typical**0.5), float(regret)
    )


def _left_out_regret(finals: npt.NDArray[np.float64], judge: int) -> float:
    others = np.delete(finals, judge, axis=0).mean(axis=0)
    best = np.argsort(-others, kind="stable")[:TOP]
    return float(finals.mean(axis=0).max() - finals[judge, best].mean())


def _agreement(finals: npt.NDArray[np.float64]) -> float:
    """Return the mean rank correlation of all pairs of seeds, from (seeds, rows)."""
    between = np.corrcoef([scipy.stats.rankdata(scores) for scores in finals])
    return float(between[np.triu_indices(len(finals), k=1)].mean())
