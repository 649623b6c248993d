"""How large a difference a comparison could have found: spreads, power, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from normsearch.evidence.statistics import ALPHA, by_arm, p_cases, p_total


@dataclass(frozen=True)
class Components:
    """Where the differences between scores come from, as standard deviations of a score.

    `seed`: of an arm's mean over cases from training to training. `interaction`: of the difference
    between two arms from case to case, once the seeds are averaged out. `case`: of a case's score
    from case to case.
    """

    seed: float
    interaction: float
    case: float


def components(scores: pd.DataFrame) -> Components:
    """Return the spread between seeds, between arms case by case, and between cases.

    The seeds' share is taken out of the interaction: averaging `n` seeds leaves 1/n of it.

    Raises:
        DataError: as for `compare`.
    """
    table = by_arm(scores)
    several = [part.mean(axis=1) for part in table.values() if len(part) > 1]
    means = np.stack([part.mean(axis=0) for part in table.values()])
    arms, cases = means.shape
    away = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    free = max((arms - 1) * (cases - 1) / arms, 1.0)  # of each arm's share
    return Components(
        seed=_typical([part.var(ddof=1) for part in several], [len(part) - 1 for part in several]),
        interaction=2**0.5 * _typical((away**2).sum(axis=1) / free, [free] * arms),
        case=float(means.mean(axis=0).std(ddof=1)) if cases > 1 else float("nan"),
    )


def _typical(variances: npt.ArrayLike, free: list[float]) -> float:
    """The spread of a typical arm: one that is unstable must not speak for all.

    The median of estimated variances lies below the true one, by a factor that chi-square tells.
    """
    if not free:
        return float("nan")
    shrunk = np.array([stats.chi2.median(degrees) / degrees for degrees in free])
    return float(np.sqrt(np.median(np.asarray(variances, float) / shrunk)))


def power(
    spread: Components,
    difference: float,
    *,
    cases: int,
    seeds: int,
    comparisons: int = 1,
    studies: int = 1000,
    seed: int = 0,
) -> float:
    """Return how often a true `difference` between two arms would be found, by simulation.

    Scores are drawn with normal spreads; `comparisons` arms compared at once make Holm's first
    step as strict as it is at worst (Bonferroni's).
    """
    random, found = np.random.default_rng(seed), 0
    for count in _portions(studies, cases * seeds):
        shared = random.normal(0, spread.case, (count, 1, cases))
        arms = [
            shared
            + shift
            + random.normal(0, spread.interaction / np.sqrt(2), (count, 1, cases))
            + random.normal(0, spread.seed, (count, seeds, 1))
            for shift in (0.0, difference)
        ]
        p = np.maximum(p_cases(*arms), p_total(*arms))
        found += int((p * comparisons < ALPHA).sum())
    return found / studies


def detectable(
    spread: Components,
    *,
    cases: int,
    seeds: int,
    comparisons: int = 1,
    share: float = 0.8,
    studies: int = 1000,
    seed: int = 0,
) -> float:
    """Return the smallest true difference that `power` finds in a `share` of studies.

    Infinite where none is ever found, however large: see `needed_cases`.
    """

    def found(difference: float) -> float:
        return power(
            spread, difference, cases=cases, seeds=seeds, comparisons=comparisons,
            studies=studies, seed=seed,
        )  # fmt: skip

    error = np.sqrt(spread.interaction**2 / cases + 2 * spread.seed**2 / seeds)
    low, high = 0.0, 100 * float(error)
    if found(high) < share:
        return float("inf")
    while high - low > 0.01 * high:  # every step on the same draws, so it falls steadily
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= share else (middle, high)
    return high


def needed_cases(comparisons: int) -> int:
    """Return from how many cases on Wilcoxon's test can find a difference at all.

    Of n cases that all differ the same way, its two-sided p-value is 2 / 2^n; Holm's first step
    multiplies it by the number of comparisons.

    >>> needed_cases(1), needed_cases(10)
    (6, 9)
    """
    cases = 1
    while max(comparisons, 1) * 2.0 ** (1 - cases) >= ALPHA:
        cases += 1
    return cases


def _portions(studies: int, size: int) -> list[int]:
    """Studies to draw at once, so that they take little memory."""
    at_once = max(1, min(studies, 2_000_000 // size))
    return [min(at_once, studies - begun) for begun in range(0, studies, at_once)]
