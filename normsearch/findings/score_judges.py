"""Judges of scores: is one norm better than others, does a score follow batch size or groups?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from normsearch.confirmation.pair_tests import ALPHA, Array
from normsearch.confirmation.statistics import compare
from normsearch.errors import StudyError
from normsearch.findings.measurements import Measured, per_seed, select
from normsearch.findings.verdicts import Contrast, Outcome, Verdict, all_above, by_t, rows_of
from normsearch.search.rank_correlation import curve_ranks, rank_correlations, standardized

Parts = Mapping[str, Measured]
_PERMUTATIONS = 4000
_BOTH = "95%, t over cases and seeds together"
_SEEDS = "95%, t over seeds"


def beats(
    parts: Parts,
    *,
    part: str,
    arms: Sequence[str],
    than: str | Sequence[str],
    by: str = "norm",
    where: Mapping[str, Any] | None = None,
    value: str = "score",
) -> Verdict:
    """Judge whether each of `arms` is better than each of `than`.

    `by` is the factor that tells the arms apart among those that `where` leaves. `value` is
    ``score`` (higher is better, case by case) or ``loss`` (of training; lower is better, by seed).
    """
    others = [than] if isinstance(than, str) else list(than)
    pairs = [(arm, other) for arm in arms for other in others if arm != other]
    return _ordered(parts[part], pairs, by, where, value)


def in_order(
    parts: Parts,
    *,
    part: str,
    arms: Sequence[str],
    by: str = "norm",
    where: Mapping[str, Any] | None = None,
    value: str = "score",
) -> Verdict:
    """Judge whether each of `arms` is better than the next one."""
    return _ordered(parts[part], list(itertools.pairwise(arms)), by, where, value)


def _ordered(
    measured: Measured,
    pairs: Sequence[tuple[str, str]],
    by: str,
    where: Mapping[str, Any] | None,
    value: str,
) -> Verdict:
    if value == "loss":
        table = per_seed(select(measured.trials, where), "loss", [by])
        found = [by_t(f"{a} below {b}", _away(table, b, a), **_means(table, a)) for a, b in pairs]
        return all_above(
            found, quantity="difference in training loss", interval=_SEEDS,
            table=_overview(measured, by, where),
        )  # fmt: skip
    scores = scores_by(measured, by, where)
    found = [_pair(scores, better, worse) for better, worse in pairs]
    return all_above(
        found, quantity="difference in mean score", interval=_BOTH,
        table=_overview(measured, by, where),
    )  # fmt: skip


def scores_by(measured: Measured, by: str, where: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return arm (the value of the factor `by`), seed, case and score, as `compare` takes them."""
    chosen = select(measured.cases, where)
    folds = chosen["fold"].fillna("").astype(str)
    return pd.DataFrame(
        {"arm": chosen[by].astype(str), "seed": chosen["seed"],
         "case": folds + "/" + chosen["case"].astype(str), "score": chosen["score"]}
    )  # fmt: skip


def _pair(scores: pd.DataFrame, better: str, worse: str) -> Contrast:
    found = compare(scores[scores["arm"].isin([better, worse])], worse).set_index("arm")
    if better not in found.index:
        raise StudyError(
            f"arms: must be among {', '.join(sorted(set(scores['arm'])))}, got {better}."
        )
    own, other = (dict(found.loc[arm]) for arm in (better, worse))
    return Contrast(
        f"{better} above {worse}",
        float(own["difference"]),
        float(own["total_low"]),
        float(own["total_high"]),
        float(own["p"]),
        {"mean": float(own["mean"]), "mean_of_other": float(other["mean"])},
    )


def _overview(measured: Measured, by: str, where: Mapping[str, Any] | None) -> pd.DataFrame:
    """A row an arm: mean and SD of its score over seeds, loss, seconds, trainings."""
    groups = select(measured.trials, where).fillna({"score": 0.0}).groupby(by, sort=False)
    table = groups.agg(
        score=("score", "mean"), seed_sd=("score", "std"), loss=("loss", "mean"),
        seconds=("seconds", "mean"), trainings=("score", "size"),
    )  # fmt: skip
    return table.reset_index().rename(columns={by: "arm"})


def _away(table: pd.DataFrame, first: str, second: str) -> Array:
    away: Array = (table[first] - table[second]).to_numpy(float)
    return away


def _means(table: pd.DataFrame, arm: str) -> dict[str, float]:
    return {"mean": float(table[arm].mean())}


def trend(
    parts: Parts,
    *,
    part: str,
    factor: str,
    rises: bool,
    where: Mapping[str, Any] | None = None,
    value: str = "score",
) -> Verdict:
    """Judge whether `value` rises (or falls) with an ordered factor.

    Spearman's rank correlation of each seed's curve, averaged over seeds. It counts as clear if a
    permutation of the levels within each seed gives as much in less than 5%, and the t interval
    over seeds excludes 0.
    """
    trials = select(parts[part].trials, where).fillna({"score": 0.0})
    curves = per_seed(trials, value, [factor])
    found = correlation(curves, sign=1 if rises else -1)
    name = f"{value} {'rises' if rises else 'falls'} with {factor}"
    return verdict_of_trend(name, found, curves, 1 if rises else -1)


def gap_grows(
    parts: Parts,
    *,
    part: str,
    of: str,
    over: str,
    factor: str,
    rises: bool,
    by: str = "norm",
    where: Mapping[str, Any] | None = None,
) -> Verdict:
    """Judge whether `of` falls behind `over` along a factor, and falls itself.

    `rises`: whether the gap is said to rise with the factor. The gap is taken within each seed.
    """
    trials = select(parts[part].trials, where).fillna({"score": 0.0})
    sign = 1 if rises else -1
    own, other = (per_seed(select(trials, {by: norm}), "score", [factor]) for norm in (of, over))
    gap = other - own
    contrasts = [
        Contrast(f"gap of {of} to {over} against {factor}", *correlation(gap, sign=sign)),
        Contrast(f"score of {of} against {factor}", *correlation(own, sign=-sign)),
    ]
    means = pd.DataFrame({over: other.mean(), of: own.mean(), "gap": gap.mean()})
    return all_above(
        contrasts,
        quantity="rank correlation in the direction stated",
        interval=_SEEDS,
        table=means.reset_index(),
    )


def rises_alone(
    parts: Parts, *, part: str, factor: str, where: Mapping[str, Any] | None = None
) -> Verdict:
    """Judge whether the score rises with a factor, and more steadily than the training loss falls.

    A curve for each seed at each batch size; Spearman's correlations as in `trend`. Trainings of
    one seed share their first weights, so its batch sizes are averaged and count as one.
    """
    trials = select(parts[part].trials, where).fillna({"score": 0.0})
    curves, fits = (
        per_seed(
            trials.assign(fit=-trials["loss"]), value, [factor], mean_over=["batch_size", "seed"]
        )
        for value in ("score", "fit")
    )
    fit = rank_correlations(fits)
    away = pd.Series(rank_correlations(curves) - fit, curves.index).groupby(level="seed").mean()
    contrasts = [
        Contrast(f"score rises with {factor}", *correlation(curves, sign=1)),
        by_t(f"more than the fit, {fit.mean():.2f}", away.tolist()),
    ]
    means = pd.concat({"score": curves.mean(), "training loss": -fits.mean()}, axis=1)
    return all_above(
        contrasts,
        quantity="rank correlation",
        interval=_SEEDS,
        table=means.reset_index(),
    )


def correlation(curves: pd.DataFrame, *, sign: int) -> tuple[float, float, float, float]:
    """Return mean Spearman over seeds (times `sign`), its t interval and permutation p-value.

    Rows are seeds; of several rows a seed (a level of the index called seed) the mean is taken,
    and their levels are permuted together. p is the larger of the two ways to doubt it, NaN with
    one seed: whether levels permuted within seeds give as much, and whether the interval over
    seeds excludes 0. Where the correlations of all seeds are equal there is no interval, and the
    permutations alone decide.
    """
    ranks = pd.DataFrame(standardized(curve_ranks(curves)), curves.index)
    several = "seed" in curves.index.names and len(curves.index.names) > 1
    by_seed = (ranks.groupby(level="seed").mean() if several else ranks).to_numpy()
    levels = standardized(np.arange(by_seed.shape[1], dtype=float))
    rho: Array = sign * by_seed @ levels
    found = by_t("", rho)
    random = np.random.default_rng(0)
    mixed = random.permuted(np.tile(by_seed, (_PERMUTATIONS, 1, 1)), axis=2)
    null = (mixed @ levels).mean(axis=-1)
    extreme = np.sum(np.abs(null) >= abs(rho.mean()) - 1e-12) + 1
    p = float(extreme / (_PERMUTATIONS + 1))
    if len(rho) < 2 or not np.isnan(found.low):
        p = float(np.maximum(p, found.p))
    low, high = float(np.clip(found.low, -1, 1)), float(np.clip(found.high, -1, 1))
    return found.estimate, low, high, p


def verdict_of_trend(
    name: str,
    found: tuple[float, float, float, float],
    curves: pd.DataFrame,
    sign: int,
    flags: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on one correlation; the estimate has the sign it was measured with."""
    estimate, low, high, p = found
    outcome: Outcome = "not distinguishable"
    if p < ALPHA:
        outcome = "reproduced" if estimate > 0 else "contradicted"
    lower, upper = sorted((sign * low, sign * high))
    told = {"reproduced": "holds", "contradicted": "the opposite holds"}.get(outcome, "not clear")
    means = curves.mean().rename("mean").reset_index()
    return Verdict(
        outcome, "Spearman's rank correlation, mean over seeds", sign * estimate, lower, upper,
        _SEEDS, f"{told[:1].upper()}{told[1:]}: {name}.", rows_of(means), tuple(flags),
    )  # fmt: skip
