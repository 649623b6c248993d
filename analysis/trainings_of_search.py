"""The trainings of a search as a Gaussian process reads them: choices, expected final scores."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normsearch.analysis import StudyLike
from normsearch.analysis.arms import searched
from normsearch.analysis.effect_model import Array, Mask
from normsearch.analysis.layer_preference import single_norms
from normsearch.config.hyperparameters import HYPERPARAMETERS, offers

#: Hyperparameters that are numbers.
NUMBERS = tuple(name for name, offered in offers().items() if offered.numeric)
#: A number with more values than this is one on an axis; with fewer, its values are categories.
CATEGORIES = 5
#: Trials that a regression takes for each column that it is on.
LEAST_LINE = 5
#: Share of the final scores' variance that scores on the way must tell.
LEAST_TOLD = 0.05
#: Scores further from the median than this many interquartile ranges count as that far.
FURTHEST = 3.0


@dataclass(frozen=True)
class Parameter:
    """A choice of a search.

    Attributes:
        name: the hyperparameter, or the first of the slots that share a choice.
        slots: the slots, in order of depth; empty for a hyperparameter.
        depth: of the first slot, 0-based; NaN for a hyperparameter.
        values: what each training chose; None where it chose nothing.
        number: whether it is a number on an axis.
    """

    name: str
    slots: tuple[str, ...]
    depth: float
    values: tuple[Hashable, ...]
    number: bool = False

    @property
    def log(self) -> bool:
        """Whether a number lies on a logarithmic axis."""
        return self.number and bool(min(self.known) > 0)

    @property
    def known(self) -> list[Any]:
        """The values that were chosen."""
        return [value for value in self.values if value is not None]

    def features(self, values: Sequence[Any]) -> Array:
        """Return features (n, f) of values of this choice; two categories are 1 apart.

        The ends of a number's axis are 2 apart. A number that was not chosen is in the middle, and
        1 apart from all that were.
        """
        if not self.number:
            categories = list(dict.fromkeys(self.values))
            places = np.array([categories.index(value) for value in values])
            return np.asarray((places[:, None] == np.arange(len(categories))) / math.sqrt(2))
        chosen = np.array([value is not None for value in values])
        on_axis = np.array([math.nan if value is None else float(value) for value in values])
        low, high = min(self.known), max(self.known)
        if self.log:
            on_axis, low, high = np.log(on_axis), math.log(low), math.log(high)
        places = np.where(chosen, 2 * (on_axis - low) / (high - low), 1.0)
        return np.stack([places, chosen.astype(float)], axis=1)


@dataclass(frozen=True)
class Trainings:
    """The trainings of a search.

    Attributes:
        parameters: the choices that vary.
        score: (n,), final scores: those of COMPLETE trials, and those expected of PRUNED ones; NaN
            for a PRUNED trial that says nothing of it.
        variance: (n,), of what is expected of a PRUNED trial; 0 for a COMPLETE one.
        complete: (n,), which are COMPLETE.
        chosen: (n,), which the sampler chose: all but single norms that it was given.
        clipped: how many scores were moved to `FURTHEST` interquartile ranges from the median.
    """

    parameters: tuple[Parameter, ...]
    score: Array
    variance: Array
    complete: Mask
    chosen: Mask
    clipped: int

    @property
    def told(self) -> Mask:
        """Which have a score, (n,)."""
        return np.isfinite(self.score)


def trainings(study: StudyLike) -> Trainings:
    """Return the COMPLETE and PRUNED trials of a search, single norms included."""
    table = searched(study)
    if not table.empty:
        table = table[table["state"].isin(["COMPLETE", "PRUNED"])]
        table = table[table[[f"norm.{slot}" for slot in study.slots]].notna().all(axis=1)]
    if table.empty:
        nothing = np.zeros(0)
        return Trainings((), nothing, nothing, nothing > 0, nothing > 0, 0)
    score, variance = expected_scores(table, study.history())
    complete = (table["state"] == "COMPLETE").to_numpy()
    keep = ~complete | np.isfinite(score)
    table, complete, score, variance = table[keep], complete[keep], score[keep], variance[keep]
    score, clipped = _clipped(score)
    chosen = (~single_norms(table)).to_numpy(bool)
    parameters = tuple(_parameters(study, table))
    return Trainings(parameters, score, variance, complete, chosen, clipped)


def expected_scores(table: pd.DataFrame, history: pd.DataFrame) -> tuple[Array, Array]:
    """Return final scores, for pruned trials what their scores say of it, and its variance.

    Scores at the evaluations where trials were pruned, and the final score, are taken for jointly
    normal (see `_moments`). Then scores on the way are a line of the final score with noise, and
    what they say of it is the inverse of this line. A regression of the final score would draw it
    to the mean, and with it what a norm is worth. A trial is NaN if its scores say nothing.
    """
    complete = (table["state"] == "COMPLETE").to_numpy()
    final = table["score"].to_numpy(float, na_value=np.nan).copy()
    final[~complete] = np.nan
    variance = np.zeros(len(table))
    seen = history[np.isfinite(history["score"].astype(float))] if len(history) else history
    if seen.empty or complete.all():
        return final, variance
    last = seen.groupby("number")["evaluation"].max().reindex(table["number"]).to_numpy(float)
    steps = np.unique(last[~complete & ~np.isnan(last)])
    curves = seen.pivot(index="number", columns="evaluation", values="score")
    early = curves.reindex(index=table["number"], columns=steps).to_numpy(float)
    moments = _moments(np.column_stack((early, final)))
    if moments is None:
        return final, variance
    mean, covariance = moments
    for count, step in enumerate(steps, start=1):
        some, of_final = covariance[:count, :count], covariance[:count, -1]
        slopes = np.linalg.lstsq(some, of_final)[0]
        told = float(slopes @ of_final) / covariance[-1, -1] if covariance[-1, -1] > 0 else 0.0
        if told < LEAST_TOLD:
            continue
        ended = ~complete & (last == step)
        final[ended] = mean[-1] + (early[ended, :count] - mean[:count]) @ slopes / told
        variance[ended] = covariance[-1, -1] * max(1 - told, 0.0) / told
    return final, variance


def _moments(columns: Array) -> tuple[Array, Array] | None:
    """Return mean (c,) and covariance (c, c) of columns of which later ones lack more rows.

    Trials are pruned by what they had scored, so the regression of a column on those before it is
    the same for the trials that lack it (maximum likelihood of monotone missing data, Anderson
    1957); means and covariances of the trials that have it are not. With few trials a regression
    is on the last columns only. None if fewer than `LEAST_LINE` trials have a column.
    """
    size = columns.shape[1]
    mean, covariance = np.zeros(size), np.zeros((size, size))
    for place in range(size):
        rows = columns[np.isfinite(columns[:, : place + 1]).all(axis=1)]
        if len(rows) < LEAST_LINE:
            return None
        first = max(place - len(rows) // LEAST_LINE, 0)
        before, own = rows[:, first:place], rows[:, place]
        away = before - before.mean(axis=0)
        slopes = np.linalg.lstsq(away, own - own.mean())[0]
        rest = own - own.mean() - away @ slopes
        mean[place] = own.mean() + (mean[first:place] - before.mean(axis=0)) @ slopes
        across = slopes @ covariance[first:place, :place]
        covariance[place, :place] = covariance[:place, place] = across
        free = len(rows) - 1 - (place - first)
        noise = float(rest @ rest) / (free - 2)  # as of a t distribution: the variance is estimated
        covariance[place, place] = noise + across[first:] @ slopes
    return mean, covariance


def _clipped(score: Array) -> tuple[Array, int]:
    """Return scores with those far from the rest, which would set the scale alone, moved nearer."""
    told = score[np.isfinite(score)]
    low, middle, high = np.quantile(told, (0.25, 0.5, 0.75)) if len(told) else (0.0, 0.0, 0.0)
    reach = FURTHEST * (high - low)
    if reach <= 0:
        return score, 0
    clipped = np.clip(score, middle - reach, middle + reach)
    return clipped, int((np.abs(told - middle) > reach).sum())


def _parameters(study: StudyLike, table: pd.DataFrame) -> list[Parameter]:
    """Return the choices that vary among these trials: slots in order of depth, then the others."""
    found = []
    for slots in shared_choices(table, study.slots, _per_layer(study)):
        columns = [table[f"norm.{slot}"].astype(str) for slot in slots]
        norms = tuple("/".join(dict.fromkeys(specs)) for specs in zip(*columns, strict=True))
        depth = float(list(study.slots).index(slots[0]))
        found.append(Parameter(slots[0], slots, depth, norms))
    for name in HYPERPARAMETERS:
        if name in table and table[name].notna().any():
            values = tuple(None if pd.isna(value) else value for value in table[name])
            number = name in NUMBERS and len(set(values) - {None}) > CATEGORIES
            found.append(Parameter(name, (), math.nan, values, number))
    return [one for one in found if len(set(one.values)) > 1]


def _per_layer(study: StudyLike) -> bool:
    """Whether every slot has a choice of its own by the study's space."""
    space = study.config.get("space") or {}
    norm = space.get("norm") or {}
    return "function" not in space and norm.get("per", "layer") == "layer"


def shared_choices(
    table: pd.DataFrame, slots: Sequence[str], per_layer: bool
) -> list[tuple[str, ...]]:
    """Return the slots by common choice: those whose norms say each other's in all trials.

    In a space of blocks or stages it is enough that one slot's norm says the other's: GN-8 and IN
    are one norm in a slot of 8 channels, and two in a slot of 16 of the same block.
    """
    groups: list[tuple[list[str], list[Hashable]]] = []
    for slot in slots:
        own: list[Hashable] = table[f"norm.{slot}"].tolist()
        group = next((g for g in groups if _says(g[1], own, both_ways=per_layer)), None)
        if group is None:
            groups.append(([slot], own))
        else:
            group[0].append(slot)
            group[1][:] = zip(group[1], own, strict=True)
    return [tuple(members) for members, _ in groups]


def _says(a: Sequence[Hashable], b: Sequence[Hashable], *, both_ways: bool) -> bool:
    """Whether the one's values follow from the other's, and vary; each from each if `both_ways`."""
    pairs, few, many = len(set(zip(a, b, strict=True))), *sorted((len(set(a)), len(set(b))))
    return few > 1 and pairs == many and (few == many or not both_ways)
