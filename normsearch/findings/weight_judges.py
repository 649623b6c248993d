"""Judges of what adaptive norms learnt: shares of branches by batch size, depth and setting.

A layer whose weights stayed within `BARELY` of where they began in most trainings has chosen
nothing: it is flagged, and not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from normsearch.confirmation.pair_tests import ALPHA, Array
from normsearch.findings.measurements import Measured, select
from normsearch.findings.score_judges import correlation, verdict_of_trend
from normsearch.findings.verdicts import Outcome, Verdict, all_above, by_t, rows_of

BARELY = 0.05
THIRDS = ("first", "middle", "last")
_SEEDS = "95%, t over seeds"
_RESAMPLES = 2000
Parts = Mapping[str, Measured]


def share_trend(
    parts: Parts,
    *,
    part: str,
    branches: Sequence[str],
    factor: str,
    rises: bool,
    where: Mapping[str, Any] | None = None,
) -> Verdict:
    """Judge whether the share of `branches` (their sum) rises or falls with a factor.

    A training's share is the mean over the layers counted and both statistics; then as `trend`.
    """
    learnt, flags = counted(parts[part], where)
    shares = _shares(learnt, ["seed", factor])
    curves = shares[list(branches)].sum(axis=1).unstack(factor)
    sign = 1 if rises else -1
    name = f"share of {' + '.join(branches)} {'rises' if rises else 'falls'} with {factor}"
    found = correlation(curves, sign=sign)
    verdict = verdict_of_trend(name, found, curves, sign, flags)
    every, _ = counted(parts[part], None)
    table = _shares(every, [factor]).reset_index()
    return _with_table(verdict, table)


def weight_below(
    parts: Parts,
    *,
    part: str,
    branch: str,
    lower: str,
    than: str,
    where: Mapping[str, Any] | None = None,
) -> Verdict:
    """Judge whether a branch's weight is smaller for one statistic than for the other."""
    learnt, flags = counted(parts[part], where)
    chosen = learnt[learnt["branch"] == branch]
    table = chosen.pivot_table(index="seed", columns="statistic", values="weight")
    name = f"{branch}'s {than} weight above its {lower} weight"
    found = by_t(name, (table[than] - table[lower]).to_numpy(float))
    by = chosen.pivot_table(index="batch_size", columns="statistic", values="weight")
    return all_above(
        [found], quantity=f"{than} weight less {lower} weight of {branch}", interval=_SEEDS,
        table=by.reset_index(), flags=flags,
    )  # fmt: skip


def more_in_place(
    parts: Parts,
    *,
    part: str,
    places: Mapping[str, str],
    where: Mapping[str, Any] | None = None,
    statistic: str = "mean",
) -> Verdict:
    """Judge whether each branch is used more in its third of the depth than in the other two.

    `places`: {branch: first | middle | last}, thirds of the layers in order of execution.
    """
    shares, flags = _by_third(parts[part], where, statistic)
    found = []
    for branch, place in places.items():
        table = shares[branch].unstack("third")
        others = table[[third for third in THIRDS if third != place]].mean(axis=1)
        found.append(by_t(f"{branch} {place}", (table[place] - others).to_numpy(float)))
    means = shares.groupby(level="third").mean().reindex(THIRDS).reset_index()
    return all_above(found, quantity="share in its third less that in the others",
                     interval=_SEEDS, table=means, flags=flags)  # fmt: skip


def leads(
    parts: Parts,
    *,
    part: str,
    leaders: Mapping[str, str],
    where: Mapping[str, Any] | None = None,
    statistic: str = "mean",
) -> Verdict:
    """Judge whether a branch has the largest share in each third: {first: LN, ...}."""
    shares, flags = _by_third(parts[part], where, statistic)
    found = []
    for place, branch in leaders.items():
        table = shares.loc[shares.index.get_level_values("third") == place]
        away = table[branch] - table.drop(columns=branch).max(axis=1)
        found.append(by_t(f"{branch} leads the {place} third", away.to_numpy(float)))
    means = shares.groupby(level="third").mean().reindex(THIRDS).reset_index()
    return all_above(found, quantity="share of the leader less the next one", interval=_SEEDS,
                     table=means, flags=flags)  # fmt: skip


def gates_spread(
    parts: Parts,
    *,
    part: str,
    start: float,
    branch: str = "IN",
    where: Mapping[str, Any] | None = None,
    least: float = 0.01,
) -> Verdict:
    """Judge whether gates end at different values in different layers, beyond those of seeds.

    Analysis of variance of the end values, layers against seeds. Trainings of one seed share their
    first weights, so the folds of a seed are averaged and count as one. The estimate
    is the SD between layers with its interval by F; an interval that lies below `least` is a
    contradiction.
    """
    learnt = select(parts[part].learnt, where)
    gates = learnt[learnt["branch"] == branch]
    table = gates.pivot_table(index="seed", columns="depth", values="weight")
    means = gates.groupby(["depth", "slot"])["weight"].mean().rename("share").reset_index()
    still = means.loc[(means["share"] - start).abs() < BARELY, "slot"].tolist()
    flags = (
        [f"gates that ended within {BARELY} of their start: {', '.join(still)}"] if still else []
    )
    estimate, low, high, p = between_columns(table.to_numpy(float))
    outcome: Outcome = "not distinguishable"
    if high < least:
        outcome = "contradicted"
    elif p < ALPHA and low > 0 and len(still) < len(means):
        outcome = "reproduced"
    words = (
        f"Gates end between {means['share'].min():.2f} and {means['share'].max():.2f} "
        f"(share of {branch}, mean over trainings; started at {start:.2f}); p {p:.2g}"
    )
    return Verdict(outcome, "SD of the end values between layers", estimate, low, high,
                   "95%, by F over seeds", words, rows_of(means), tuple(flags))  # fmt: skip


def between_columns(values: Array) -> tuple[float, float, float, float]:
    """Return the SD between columns beyond that within them, its 95% interval, and p by F.

    Rows are blocks (their own level is taken out). The interval is Searle's for the ratio of the
    variances, times the variance within.
    """
    rows, columns = values.shape
    away = values - values.mean(axis=1, keepdims=True)
    between = rows * (away.mean(axis=0) ** 2).sum() / (columns - 1)
    free = max((rows - 1) * (columns - 1), 1)
    within = float(((away - away.mean(axis=0)) ** 2).sum() / free)
    if rows < 2 or within == 0:
        sd = float(np.sqrt(between / rows))
        return sd, float("nan"), float("nan"), float("nan")
    ratio = between / within
    ends = [ratio / float(stats.f.ppf(q, columns - 1, free)) for q in (0.975, 0.025)]
    sds = [float(np.sqrt(max(end - 1, 0) / rows * within)) for end in ends]
    estimate = float(np.sqrt(max(ratio - 1, 0) / rows * within))
    return estimate, sds[0], sds[1], float(stats.f.sf(ratio, columns - 1, free))


def explained(
    parts: Parts,
    *,
    part: str,
    branch: str,
    by: Sequence[str],
    against: Sequence[str],
    where: Mapping[str, Any] | None = None,
) -> Verdict:
    """Judge whether the factors `by` explain more of a branch's share than those `against`.

    ``depth`` among them is the layer itself; another factor counts with its own effect and with how
    it changes layers. Shares of the total variance in a balanced design, freed of what noise would
    explain by chance. The interval is a bootstrap over layers of the smallest of `by` less the
    largest of `against`.
    """
    learnt, flags = counted(parts[part], where)
    chosen = learnt[learnt["branch"] == branch]
    factors = [name for name in (*by, *against) if name != "depth"]
    keys = ["depth", *factors]
    values = chosen.groupby(keys)["weight"].mean().unstack("depth")
    found = explained_by(values, factors)
    smallest, largest = min(found[name] for name in by), max(found[name] for name in against)
    low, high = _bootstrap_layers(values, factors, by, against, min)
    _, best_high = _bootstrap_layers(values, factors, by, against, max)
    outcome: Outcome = "not distinguishable"
    if low > 0:
        outcome = "reproduced"
    elif best_high < 0:
        outcome = "contradicted"
    words = ", ".join(f"{name} {share:.0%}" for name, share in found.items())
    return Verdict(
        outcome, f"variance explained: the least of {', '.join(by)} less the most of "
        f"{', '.join(against)}", smallest - largest, low, high, "95%, bootstrap over layers",
        f"Variance of {branch}'s share explained: {words}",
        tuple({"factor": name, "explained": share} for name, share in found.items()), tuple(flags),
    )  # fmt: skip


def explained_by(values: pd.DataFrame, factors: Sequence[str]) -> dict[str, float]:
    """Return the share of variance that layers (columns) and each factor (of the index) explain.

    A factor's part is its own effect and that with layers, as sums of squares less the chance part:
    its degrees of freedom times the mean square of what nothing explains; below 0 becomes 0.
    """
    table = values.to_numpy(float)
    total = float(((table - table.mean()) ** 2).sum())
    rows, columns = table.shape
    by_layer = table.mean(axis=0)
    sums = {"depth": (rows * float(((by_layer - table.mean()) ** 2).sum()), columns - 1)}
    for name in factors:
        groups = values.groupby(level=name)
        away = groups.mean().to_numpy(float) - by_layer
        sums[name] = (float((groups.size().to_numpy()[:, None] * away**2).sum()),
                      (groups.ngroups - 1) * columns)  # fmt: skip
    left = total - sum(square for square, _ in sums.values())
    free = max(rows * columns - 1 - sum(degrees for _, degrees in sums.values()), 1)
    noise = max(left, 0.0) / free
    return {
        name: max(square - degrees * noise, 0.0) / total if total else 0.0
        for name, (square, degrees) in sums.items()
    }


def _bootstrap_layers(
    values: pd.DataFrame,
    factors: Sequence[str],
    by: Sequence[str],
    against: Sequence[str],
    pick: Any,
) -> tuple[float, float]:
    random = np.random.default_rng(0)
    draws = []
    for _ in range(_RESAMPLES // 4):
        chosen = random.integers(0, values.shape[1], values.shape[1])
        found = explained_by(values.iloc[:, chosen], factors)
        draws.append(pick(found[n] for n in by) - max(found[n] for n in against))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def counted(
    measured: Measured, where: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the learnt weights of the layers that moved, and a flag that names the others.

    A statistic of a layer has barely moved where, in half of the trainings or more, all its
    branches are within `BARELY` of equal shares (BN's branch is left out where it is 0 because no
    batch was ever larger than one).
    """
    learnt = select(measured.learnt, where)
    known = learnt[~((learnt["branch"] == "BN") & (learnt["batch_size"] == 1))]
    keys = ["number", "slot", "statistic"]
    equal = 1 / known.groupby(keys)["weight"].transform("size")
    away = (known["weight"] - equal).abs().groupby([known[key] for key in keys]).max()
    still = (away < BARELY).groupby(level=["slot", "statistic"]).mean() >= 0.5
    names = [f"{slot} ({statistic})" for slot, statistic in still[still].index]
    kept = ~pd.MultiIndex.from_frame(learnt[["slot", "statistic"]]).isin(still[still].index)
    flags = (
        (f"barely moved, not counted ({len(names)} of {len(still)}): {', '.join(names)}",)
        if names
        else ()
    )
    return learnt[kept], flags


def _shares(learnt: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean weights: a row for each of `by`, a column a branch."""
    return learnt.pivot_table(index=list(by), columns="branch", values="weight", aggfunc="mean")


def _by_third(
    measured: Measured, where: Mapping[str, Any] | None, statistic: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Mean weights with the index (seed, third); thirds are of all layers, counted or not."""
    learnt, flags = counted(measured, where)
    layers = int(measured.learnt["depth"].max()) + 1
    edges = np.linspace(0, layers, 4)[1:-1]
    third = np.array(THIRDS)[np.digitize(learnt["depth"] + 0.5, edges)]
    chosen = learnt.assign(third=third)[learnt["statistic"] == statistic]
    return _shares(chosen, ["seed", "third"]), flags


def _with_table(verdict: Verdict, table: pd.DataFrame) -> Verdict:
    return replace(verdict, table=(*verdict.table, *rows_of(table)))
