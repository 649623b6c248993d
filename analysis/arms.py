"""Functions for figures of arms: trials of arms, the norm of an arm, means over seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.analysis import StudyLike
from normsearch.analysis.palette import norm_order
from normsearch.confirmation.pair_tests import t_reach
from normsearch.errors import StudyError

LOWER = " (lower is better)"
Bounds = tuple[float, float]
SHARE: Bounds = 0.0, 1.0


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the COMPLETE ones of a table of trials; an empty table may lack its columns."""
    return table if table.empty else table[table["state"] == "COMPLETE"]


def arm_norms(study: StudyLike) -> dict[str, str]:
    """Return arm -> its norm spec in the study; for several norms the arm's name.

    The spec is not canonical: GN-8 stays GN-8 in slots of 8 channels, where it equals IN.
    """
    space = study.config.get("space")
    arms = space.get("arms") if isinstance(space, Mapping) else None
    norms = {}
    for arm in arms or []:
        norm = arm.get("norm")
        specs = set(norm.values()) if isinstance(norm, Mapping) else {norm}
        norms[str(arm["name"])] = str(specs.pop()) if len(specs) == 1 else str(arm["name"])
    return norms


def arm_trials(study: StudyLike, kind: str) -> pd.DataFrame:
    """Return the COMPLETE trials of arms (see `StudyLike.trials`) with a column norm.

    Raises:
        StudyError: the study has no COMPLETE trial of an arm; it names the figure, `kind`.
    """
    table = study.trials()
    if not table.empty and "arm" in table:
        table = table[(table["state"] == "COMPLETE") & table["arm"].notna()].copy()
    if table.empty or "arm" not in table:
        raise StudyError(
            f"{study.name}: {kind} needs a COMPLETE trial of a study with `space: {{arms: ...}}`."
        )
    norms = arm_norms(study)
    table["norm"] = [norms.get(arm, arm) for arm in table["arm"]]
    table["score"] = table["score"].astype(float)
    return table.reset_index(drop=True)


def searched(study: StudyLike) -> pd.DataFrame:
    """Return `study.trials()` without those of arms, and without the replicates of a race."""
    return without_arms(without_replicates(study.trials()))


def without_arms(table: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of a study that are not trainings of arms."""
    return table[table["arm"].isna()] if "arm" in table else table


def without_replicates(table: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of a search without the replicates of a race."""
    return table[table["replicate_of"].isna()] if "replicate_of" in table else table


def over_trainings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of a search that are no replicates of a race, with means over trainings.

    Where a trial has COMPLETE replicates, `score` is the mean over its trainings. The columns
    `seeds`, `lowest` and `highest` say how many these are, and their least and greatest score;
    `lost` says how many replicates failed.
    """
    first = table["replicate_of"].fillna(table["number"])
    scores = table["score"].astype(float).groupby(first)
    failed = (table["replicate_of"].notna() & (table["state"] == "FAIL")).groupby(first)
    own = without_replicates(table)
    found = own.assign(
        seeds=own["number"].map(scores.count()),
        lowest=own["number"].map(scores.min()),
        highest=own["number"].map(scores.max()),
        lost=own["number"].map(failed.sum()),
    )
    several = found["seeds"] > 1  # the score of a single training is kept to the bit
    return found.assign(score=found["score"].mask(several, own["number"].map(scores.mean())))


def one_arm_each(table: pd.DataFrame, by: list[str], direction: str = "maximize") -> pd.DataFrame:
    """Keep, of several arms with equal `by`, the one with the best mean score over its seeds.

    Arms that differ in the learning rate alone become one: each norm at its own best rate.
    """
    means = table.groupby([*by, "arm"], as_index=False)[["score"]].mean()
    best = means.sort_values("score", ascending=direction == "minimize").drop_duplicates(by)
    return table[table["arm"].isin(best["arm"])].reset_index(drop=True)


def interval(values: Iterable[float]) -> tuple[float, float, float, int]:
    """Return mean, low and high of its 95 % t interval, and the number of values that are known.

    A single value has no interval: its ends are NaN.

    >>> [round(x, 3) for x in interval([0.8, 0.9, 1.0])]
    [0.9, 0.652, 1.148, 3]
    """
    known = np.asarray(list(values), float)
    known = known[~np.isnan(known)]
    n = len(known)
    if n < 2:
        return (float(known[0]) if n else float("nan")), float("nan"), float("nan"), n
    mean, half = float(known.mean()), t_reach(known)
    return mean, mean - half, mean + half, n


def each_seed(table: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Return one row a group and seed: `by`, seed, and the means of `values` over folds."""
    return table.groupby([*by, "seed"], as_index=False, sort=False)[values].mean()


def over_seeds(
    table: pd.DataFrame, by: list[str], value: str, bounds: Bounds = (-np.inf, np.inf)
) -> pd.DataFrame:
    """Return one row a group: the columns `by`, mean, low, high (see `interval`) and seeds.

    `bounds`: the least and the largest possible value, where intervals end at the latest.
    """
    groups = each_seed(table, by, [value]).groupby(by, sort=False)
    rows: list[tuple[Any, ...]] = [(*key, *interval(group[value])) for key, group in groups]
    found = pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds"])
    return found.assign(low=found["low"].clip(*bounds), high=found["high"].clip(*bounds))


def by_norm(df: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Return the rows in the palette's order of norms, then by the columns `then`."""
    place = {norm: position for position, norm in enumerate(norm_order(df["norm"]))}
    order = df.assign(_place=df["norm"].map(place)).sort_values(["_place", *then], kind="stable")
    return order.drop(columns="_place").reset_index(drop=True)


def scored_on(study: StudyLike) -> str:
    """Return which cases a study scores: ``test``, ``validation`` or ``training``."""
    task = study.config.get("task")
    validation = task.get("validation") if isinstance(task, Mapping) else None
    return str(validation) if validation in ("test", "training") else "validation"


def metric_name(study: StudyLike) -> str:
    """Return what a score of this study is, for an axis: ``Validation Dice``, ``Test accuracy``."""
    note = LOWER if study.direction == "minimize" else ""
    return f"{scored_on(study).capitalize()} {study.metric}{note}"


def with_range(metric: str, scores: pd.Series) -> str:
    """Return an axis label, with ``(0 to 1)`` if all scores are in it and more is better.

    A long label has several lines.
    """
    inside = scores.dropna().astype(float).between(0, 1).all() and LOWER not in metric
    return textwrap.fill(f"{metric} (0 to 1)" if inside else metric, 40)


def single_norm(row: Mapping[Any, Any], study: StudyLike) -> str:
    """Return the one norm of all slots of a trial, a row of `StudyLike.trials`; "" for a mixture.

    The name in the search counts: GN-8 is one norm, although it equals IN for 8 channels.
    """
    for column in ("single_norm", "baseline"):
        if isinstance(row.get(column), str):
            return str(row[column])
    norms = {row.get(f"norm.{slot}") for slot in study.slots}
    one = norms.pop() if len(norms) == 1 else None
    return one if isinstance(one, str) else ""


def samples_unit(most: float) -> tuple[float, str]:
    """Return the unit of samples on an axis that ends at `most`, and the axis label.

    >>> samples_unit(20_000)
    (1000.0, 'Samples seen (thousands)')
    """
    return (1000.0, "Samples seen (thousands)") if most >= 5000 else (1.0, "Samples seen")


def bars(df: pd.DataFrame, bounds: Bounds = (-np.inf, np.inf)) -> npt.NDArray[np.float64]:
    """Return the lengths of error bars below and above the mean, (2, rows).

    A t interval of few seeds may reach where no value can lie: bars end at `bounds`, the least and
    the largest possible value, at the latest. Without an interval, the length is 0.
    """
    low, high = df["low"].clip(*bounds), df["high"].clip(*bounds)
    return np.stack([(df["mean"] - low).fillna(0), (high - df["mean"]).fillna(0)])


def seeds_note(seeds: Iterable[int], word: str = "seed", *, of_cases: bool = True) -> str:
    """Return the number of seeds of each mean and the meaning of the bars, for a caption.

    `of_cases`: whether the means are of scores of cases.
    """
    counts = sorted(set(seeds))
    if counts[-1] == 1:
        return f"One {word} each: no interval."
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    told = f"Mean over {span} {word}s with its 95\u00a0% t interval"
    note = ": of other trainings on these cases, not of other cases"
    return f"{told}{note if of_cases else ''}."
