"""Whether two ways of training differ: per case, and beyond the luck of a seed.

Cases are a sample of all patients, seeds a sample of all trainings. Wilcoxon's test over cases,
the field's habit, takes one lucky training for a better network (a test here shows how often). An
arm is therefore called different only where it holds against both kinds of luck too: the
difference over its standard error from cases and seeds together, a t statistic with Welch and
Satterthwaite's degrees of freedom. The p-value of a pair is the larger of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from normsearch.errors import DataError

ALPHA = 0.05
_RESAMPLES = 2000

Array = npt.NDArray[np.float64]


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


def bootstrap_interval(
    values: npt.ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the BCa bootstrap interval of the mean (Efron 1987); NaN values are left out.

    Fewer than two values, or equal ones, have no spread to resample: the ends are then the mean.
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if len(known) < 2 or np.ptp(known) == 0:
        mean = float(known.mean()) if len(known) else float("nan")
        return mean, mean
    random = np.random.default_rng(seed)
    found = stats.bootstrap(
        (known,), np.mean, confidence_level=confidence, n_resamples=_RESAMPLES, rng=random
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def compare(scores: pd.DataFrame, reference: str, *, seed: int = 0) -> pd.DataFrame:
    """Compare every arm with one that was chosen before these scores were looked at.

    Choosing the reference by the same scores would make the others look worse than they are.

    Args:
        scores: one row a score, with columns arm, seed, case, score (higher is better); a NaN
            score (a case without foreground) leaves its case out of every arm.
        reference: the arm that the others are compared with.
        seed: of the bootstrap.

    Returns:
        One row an arm, the best mean first: arm, mean and sd (over cases, seeds averaged), low and
        high (bootstrap 95% of the mean), seed_sd (of the means over cases), seeds, cases,
        difference (to the reference, case by case), difference_low and difference_high,
        p_cases (Wilcoxon signed-rank, two-sided), p_total (t over cases and seeds together), p
        (the larger), p_holm, verdict: ``reference``, ``better``, ``worse``, ``no difference
        found`` or, with a single seed, ``not tested``.

    Raises:
        DataError: a column is missing, the reference is no arm, or an arm lacks a case of another.
    """
    table = _by_arm(scores, reference)
    rows = [_row(table, arm, reference, seed) for arm in table]
    result = pd.DataFrame(rows)
    result["p_holm"] = holm(result["p"])
    result["verdict"] = [
        _verdict(bool(row.arm == reference), float(str(row.p_holm)), float(str(row.difference)))
        for row in result.itertuples()
    ]
    return result.sort_values("mean", ascending=False, ignore_index=True)


def friedman(scores: pd.DataFrame) -> tuple[float, float]:
    """Return Friedman's chi-square over cases (seeds averaged) and its p-value; 3 arms at least.

    It says whether any arm differs on these cases, not by how much nor whether the luck of the
    trainings explains it.

    Raises:
        DataError: fewer than three arms, or as for `compare`.
    """
    table = _by_arm(scores)
    if len(table) < 3:
        raise DataError(f"Friedman's test needs three arms or more, got {', '.join(table)}")
    found = stats.friedmanchisquare(*(part.mean(axis=0) for part in table.values()))
    return float(found.statistic), float(found.pvalue)


def components(scores: pd.DataFrame) -> Components:
    """Return the spread between seeds, between arms case by case, and between cases.

    The seeds' share is taken out of the interaction: averaging `n` seeds leaves 1/n of it.

    Raises:
        DataError: as for `compare`.
    """
    table = _by_arm(scores)
    seed_variance = [part.mean(axis=1).var(ddof=1) for part in table.values() if len(part) > 1]
    means = np.stack([part.mean(axis=0) for part in table.values()])
    away = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    free = max((len(means) - 1) * (means.shape[1] - 1), 1)
    return Components(
        seed=float(np.sqrt(np.mean(seed_variance))) if seed_variance else float("nan"),
        interaction=float(np.sqrt(2 * (away**2).sum() / free)),
        case=float(means.mean(axis=0).std(ddof=1)),
    )


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
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(studies):
        shared = random.normal(0, spread.case, cases)
        arms = [
            shared
            + shift
            + random.normal(0, spread.interaction / np.sqrt(2), cases)
            + random.normal(0, spread.seed, (seeds, 1))
            for shift in (0.0, difference)
        ]
        found += max(_p_cases(*arms), _p_total(*arms)) * comparisons < ALPHA
    return found / studies


def summary(result: pd.DataFrame) -> str:
    """Return in plain words what `compare` found.

    >>> row = {"arm": "a", "verdict": "no difference found", "p_holm": 0.4, "difference": 0.01}
    >>> table = pd.DataFrame([row, {**row, "arm": "BN", "verdict": "reference"}])
    >>> summary(table)
    'No difference found between BN and a.'
    """
    reference = result.loc[result["verdict"] == "reference", "arm"].item()
    parts = []
    for verdict in ("better", "worse"):
        rows = result[result["verdict"] == verdict]
        told = [f"{r.arm} ({r.difference:+.3f}, p {r.p_holm:.2g})" for r in rows.itertuples()]
        if told:
            parts.append(f"{verdict} than {reference}: {', '.join(told)}")
    same = result.loc[result["verdict"] == "no difference found", "arm"]
    if len(same):
        parts.append(f"no difference found between {reference} and {', '.join(same)}")
    untested = result.loc[result["verdict"] == "not tested", "arm"]
    if len(untested):
        parts.append(f"not tested for want of a second seed: {', '.join(untested)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _by_arm(scores: pd.DataFrame, reference: str | None = None) -> dict[str, Array]:
    """{arm: (seeds, cases)}, the cases in one order, those with a NaN anywhere left out."""
    missing = [name for name in ("arm", "seed", "case", "score") if name not in scores]
    if missing:
        raise DataError(f"scores must have the columns arm, seed, case, score; no {missing[0]}")
    arms = list(dict.fromkeys(scores["arm"]))
    if reference is not None and reference not in arms:
        raise DataError(f"the reference must be one of {', '.join(arms)}, got '{reference}'")
    known = scores.dropna(subset="score")
    lost = set(scores.loc[scores["score"].isna(), "case"])
    cases = [case for case in dict.fromkeys(known["case"]) if case not in lost]
    table = {}
    for arm in arms:
        part = known[known["arm"] == arm].pivot(index="seed", columns="case", values="score")
        absent = [case for case in cases if case not in part or part[case].isna().any()]
        if absent:
            raise DataError(f"{arm}: every seed must be scored on every case, no {absent[0]}")
        table[arm] = part[cases].to_numpy(float)
    if not cases:
        raise DataError("scores must hold a case that every arm has a score of, got none")
    return table


def _row(table: dict[str, Array], arm: str, reference: str, seed: int) -> dict[str, object]:
    scores, others = table[arm], table[reference]
    cases, away = scores.mean(axis=0), scores.mean(axis=0) - others.mean(axis=0)
    low, high = bootstrap_interval(cases, seed=seed)
    difference_low, difference_high = bootstrap_interval(away, seed=seed)
    own = arm == reference
    p_cases = float("nan") if own else _p_cases(others, scores)
    p_total = float("nan") if own else _p_total(others, scores)
    reach = 0.0 if own else _reach(others, scores)
    return {
        "arm": arm,
        "mean": cases.mean(),
        "sd": cases.std(ddof=1) if len(cases) > 1 else float("nan"),
        "low": low,
        "high": high,
        "seed_sd": scores.mean(axis=1).std(ddof=1) if len(scores) > 1 else float("nan"),
        "seeds": len(scores),
        "cases": len(cases),
        "difference": away.mean(),
        "difference_low": difference_low,
        "difference_high": difference_high,
        "total_low": away.mean() - reach,
        "total_high": away.mean() + reach,
        "p_cases": p_cases,
        "p_total": p_total,
        "p": float(np.maximum(p_cases, p_total)),  # NaN if one of them is
    }


def _p_cases(first: Array, second: Array) -> float:
    away = second.mean(axis=0) - first.mean(axis=0)
    return float(stats.wilcoxon(away).pvalue) if np.any(away) else 1.0


def _p_total(first: Array, second: Array) -> float:
    away = (second.mean(axis=0) - first.mean(axis=0)).mean()
    error, free = _standard_error(first, second)
    if error == 0:
        return 0.0 if away else 1.0
    return float(2 * stats.t.sf(abs(away) / error, free))


def _reach(first: Array, second: Array) -> float:
    """Half of the 95% interval of the difference."""
    error, free = _standard_error(first, second)
    return error * float(stats.t.ppf(0.975, free)) if error else error


def _standard_error(first: Array, second: Array) -> tuple[float, float]:
    """Of the mean difference over cases and seeds, and its degrees of freedom; NaN if unknown."""
    if min(len(first), len(second), first.shape[1]) < 2:
        return float("nan"), float("nan")
    away = second.mean(axis=0) - first.mean(axis=0)
    means = [arm.mean(axis=1) for arm in (first, second)]
    # Variances of a mean, and the degrees of freedom each was estimated with.
    parts = [(away.var(ddof=1) / len(away), len(away) - 1)]
    parts += [(values.var(ddof=1) / len(values), len(values) - 1) for values in means]
    variance = sum(part for part, _ in parts)
    free = variance**2 / sum(part**2 / degrees for part, degrees in parts) if variance else 1.0
    return float(np.sqrt(variance)), float(free)


def _verdict(is_reference: bool, p: float, difference: float) -> str:
    if is_reference:
        return "reference"
    if np.isnan(p):
        return "not tested"
    if p >= ALPHA:
        return "no difference found"
    return "better" if difference > 0 else "worse"
