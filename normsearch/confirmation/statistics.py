"""Statistical comparison of two ways of training, over cases and over trainings.

Cases are a sample of all patients, seeds a sample of all trainings on this training set. Wilcoxon's
test over cases alone mistakes one fortunate training for a better network (a test in tests/ shows
how often). An arm is therefore called different only if a second test agrees: the difference over
its standard error from cases and seeds together, a t statistic with Welch and Satterthwaite's
degrees of freedom, limited to three times those of the arm with fewer seeds. The p-value of a pair
is the larger of the two.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from normsearch.confirmation.pair_tests import (
    ALPHA,
    Array,
    difference_of,
    mean_interval,
    p_both,
    p_cases,
    p_total,
)
from normsearch.confirmation.score_table import ScoreTable, score_table
from normsearch.errors import DataError

NO_DIFFERENCE = "no difference found"
COLLAPSED = 0.5
"""A training has collapsed if its mean score is below this share of the median training's; of
scores below 0, if its distance from 0 is more than the median's over this share."""


def holm(p_values: npt.ArrayLike) -> Array:
    """Return p-values adjusted for all of them by Holm's step-down method (1979); NaN stays NaN.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p_values, float)
    adjusted = np.full(raw.shape, np.nan)
    known = np.flatnonzero(~np.isnan(raw))
    order = known[np.argsort(raw[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raw[order] * factors))
    return adjusted


def compare(
    scores: pd.DataFrame, reference: str, *, tested: bool = True, paired: bool = False
) -> pd.DataFrame:
    """Compare every arm with a reference that was chosen before these scores were seen.

    Choosing the reference by the same scores would make the others look worse than they are.

    Args:
        scores: one row a score, with columns arm, seed, case, score (higher is better) and, where
            it is known, empty_truth (bool); see `score_table` for the cases that are left out.
        reference: the arm that the others are compared with.
        tested: whether to test. If not, as long as trainings are outstanding, every p-value and
            interval is NaN and the verdict is ``not finished``.
        paired: whether trainings of one seed share their randomness (initial weights, order of
            samples); decide this before the scores are seen. Differences are then taken seed by
            seed, over the seeds that both arms have. This has more power if scores of one seed are
            correlated, and less if they are not, since it halves the degrees of freedom.

    Returns:
        One row an arm, the best mean first: arm, mean and sd (over cases, seeds averaged), low and
        high (95% of the mean, t over cases and seeds), seed_sd (of the means over cases), seeds,
        cases, rank (mean over cases, 1 is best), difference (to the reference), total_low and
        total_high (95% of the difference, simultaneous over all comparisons, see `_simultaneous`),
        p_cases (Wilcoxon signed-rank, two-sided), p_total (t over cases and seeds together), p (the
        larger), p_holm, verdict: ``reference``, ``better``, ``worse``, ``no difference found``,
        ``not tested`` (a single seed or case) or ``not finished``; collapsed (trainings with a mean
        below half of that of the median training of all arms, see `COLLAPSED`; NaN if means lie on
        both sides of 0 or the median is 0, where a share means nothing), collapse_bound (upper 95%
        bound on the share of trainings that collapse), false_positives (predictions that are not
        empty on cases whose truth is, over all seeds), empty_cases (how many cases that are).

    Raises:
        DataError: as for `score_table`, or `paired` arms without a seed in common.
    """
    table = score_table(scores, reference)
    result = pd.DataFrame([_described(table, arm) for arm in table.arms])
    result["rank"] = _ranks(table)
    tests = [_tested(table, arm, reference, tested, paired) for arm in table.arms]
    result = pd.concat([result, pd.DataFrame(tests)], axis=1)
    if not tested:
        result[["low", "high"]] = np.nan
    result["p_holm"] = holm(result["p"])
    result["verdict"] = [
        verdict(p, difference, is_reference=arm == reference, tested=tested)
        for arm, p, difference in zip(
            result["arm"], result["p_holm"], result["difference"], strict=True
        )
    ]
    result = _simultaneous(result)
    result = pd.concat([result, _collapses(table)], axis=1)
    return result.sort_values("mean", ascending=False, ignore_index=True)


def pairwise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the p-value over cases and seeds of every pair of arms, adjusted by Holm for all.

    Returns:
        A symmetric table, arms by arms, 1 on the diagonal; NaN where one seed or case allows no
        test.

    Raises:
        DataError: as for `score_table`.
    """
    table = score_table(scores)
    arms = list(table.arms)
    pairs = list(itertools.combinations(range(len(arms)), 2))
    raw = [float(p_both(table.values(arms[i]), table.values(arms[j]))) for i, j in pairs]
    found = np.ones((len(arms), len(arms)))
    for (i, j), p in zip(pairs, holm(raw), strict=True):
        found[i, j] = found[j, i] = p
    return pd.DataFrame(found, index=arms, columns=arms)


def _ranks(table: ScoreTable) -> Array:
    means = [-table.values(arm).mean(axis=0) for arm in table.arms]
    ranks: Array = scipy.stats.rankdata(means, axis=0).mean(axis=1)
    return ranks


def _described(table: ScoreTable, arm: str) -> dict[str, object]:
    scores = table.values(arm)
    cases = scores.mean(axis=0)
    low, high = mean_interval(scores)
    return {
        "arm": arm,
        "mean": cases.mean(),
        "sd": cases.std(ddof=1) if len(cases) > 1 else float("nan"),
        "low": float(low),
        "high": float(high),
        "seed_sd": scores.mean(axis=1).std(ddof=1) if len(scores) > 1 else float("nan"),
        "seeds": len(scores),
        "cases": len(cases),
    }


def _tested(
    table: ScoreTable, arm: str, reference: str, tested: bool, paired: bool
) -> dict[str, float]:
    """Return differences to the reference, their p-values, and the parts of the interval."""
    scores, others = table.arms[arm], table.arms[reference]
    difference = scores.to_numpy().mean() - others.to_numpy().mean()
    names = ("p_cases", "p_total", "p", "_error", "_free")
    nothing = dict.fromkeys(names, float("nan"))
    if arm == reference or not tested:
        return {"difference": difference, **nothing}
    if paired:
        shared = scores.index.intersection(others.index)
        if shared.empty:
            raise DataError(f"{arm}: must have a seed in common with {reference} to be paired.")
        scores, others = scores.loc[shared], others.loc[shared]
    first, second = others.to_numpy(float), scores.to_numpy(float)
    by_cases = float(p_cases(first, second))
    by_both = float(p_total(first, second, paired=paired))
    found = {"p_cases": by_cases, "p_total": by_both, "p": float(np.maximum(by_cases, by_both))}
    if np.isnan(by_both):
        return {"difference": difference, **nothing, **found}
    away, error, free = difference_of(first, second, paired=paired)
    return {"difference": float(away), **found, "_error": float(error), "_free": float(free)}


def _simultaneous(result: pd.DataFrame) -> pd.DataFrame:
    """Replace the errors by simultaneous 95% intervals that agree with the verdicts.

    These are Bonferroni intervals by the t of `p_total`. If Holm's correction or Wilcoxon's test
    decides otherwise, the nearer end becomes 0: the interval of an arm called better or worse lies
    on one side of 0, that of any other arm contains 0.
    """
    comparisons = int(result["p"].notna().sum())
    level = ALPHA / max(comparisons, 1)
    difference, error, free = result[["difference", "_error", "_free"]].to_numpy(float).T
    half = scipy.stats.t.isf(level / 2, free) * error
    told = result["verdict"].to_numpy()
    better, worse, same = (told == one for one in ("better", "worse", NO_DIFFERENCE))
    low, high = difference - half, difference + half
    low = np.select([better, same], [np.maximum(low, 0), np.minimum(low, 0)], low)
    high = np.select([worse, same], [np.minimum(high, 0), np.maximum(high, 0)], high)
    own = told == "reference"
    bounds = {"total_low": np.where(own, 0.0, low), "total_high": np.where(own, 0.0, high)}
    return result.drop(columns=["_error", "_free"]).assign(**bounds)


def _collapses(table: ScoreTable) -> pd.DataFrame:
    """Return collapsed trainings of each arm, the bound on their share, and false positives."""
    means = {arm: part.to_numpy(float).mean(axis=1) for arm, part in table.arms.items()}
    every = np.concatenate(list(means.values()))
    middle = float(np.median(every))
    limit = COLLAPSED * middle if middle >= 0 else middle / COLLAPSED
    counts = {arm: int((own < limit).sum()) for arm, own in means.items()}
    bounds = [share_bound(counts[arm], len(means[arm])) for arm in table.arms]
    known = middle != 0 and bool((every * middle >= 0).all())
    return pd.DataFrame({
        "collapsed": list(counts.values()) if known else float("nan"),
        "collapse_bound": bounds if known else float("nan"),
        "false_positives": [table.false_positives[arm] for arm in table.arms],
        "empty_cases": table.empty_cases,
    })  # fmt: skip


def share_bound(events: int, trainings: int) -> float:
    """Return the upper 95% bound on the share of trainings with an event (Clopper and Pearson).

    >>> round(share_bound(0, 5), 3), round(1 - 0.05 ** (1 / 5), 3)
    (0.451, 0.451)
    """
    if events >= trainings:
        return 1.0
    return float(scipy.stats.beta.ppf(1 - ALPHA, events + 1, trainings - events))


def verdict(p: float, difference: float, *, is_reference: bool = False, tested: bool = True) -> str:
    """Return the verdict of a comparison from its corrected p-value; see `compare`."""
    if is_reference:
        return "reference"
    if not tested:
        return "not finished"
    if np.isnan(p):
        return "not tested"
    if p >= ALPHA:
        return NO_DIFFERENCE
    return "better" if difference > 0 else "worse"
