"""What the trainings of one part of an experiment measured, as tables a judge can read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normsearch.errors import StudyError

Factors = Mapping[str, Mapping[str, Any]]
"""What an arm is made of: {arm: {norm: ..., batch_size: ..., learning_rate: ...}}."""


@dataclass(frozen=True)
class Measured:
    """The trainings of a part. Every table has the columns arm, seed, fold and the factors.

    `groups` is one more factor: the G of GN-G, infinite for IN (one channel a group), NaN for
    other norms.

    `number` counts trainings through all runs of the part.

    Attributes:
        trials: a row a training: state, score, loss (the last), seconds, parameters.
        cases: a row a case of a training: case, score. A training that diverged has score 0 on
            every case.
        curves: a row an evaluation: evaluation, samples, seconds, loss, score.
        learnt: what adaptive norms ended with: depth (place of the layer, 0 is the first), slot,
            statistic, branch, weight.
        replays: method, seed, trainings, regret; of a replay alone.
    """

    trials: pd.DataFrame
    cases: pd.DataFrame
    curves: pd.DataFrame
    learnt: pd.DataFrame
    replays: pd.DataFrame

    @property
    def diverged(self) -> int:
        """Trainings that failed."""
        return int((self.trials["state"] == "FAIL").sum()) if len(self.trials) else 0


def measure(runs: Iterable[tuple[Any, Factors, str | None]]) -> Measured:
    """Return what finished runs measured.

    Args:
        runs: (StudyRecord, factors of its arms, the fold if it is one for the whole run).
    """
    parts, before = [], 0
    for run in runs:
        parts.append([_counted_on(table, before) for table in _of_run(*run)])
        before += len(parts[-1][0])
    tables = [_joined([part[place] for part in parts]) for place in range(4)]
    trials, cases, curves, learnt = tables
    return Measured(trials, _with_failures(trials, cases), curves, learnt, pd.DataFrame())


def replayed(replays: pd.DataFrame) -> Measured:
    """Return the outcome of replays, with nothing trained."""
    none = pd.DataFrame()
    return Measured(pd.DataFrame({"state": []}), none, none, none, replays)


def select(table: pd.DataFrame, where: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return the rows whose columns have the values (or one of the values) of `where`.

    Raises:
        StudyError: there is no such column, or no such row.
    """
    for name, value in (where or {}).items():
        if name not in table:
            raise StudyError(f"where: must be among {', '.join(map(str, table))}, got {name}.")
        table = table[table[name].isin(value if isinstance(value, list | tuple) else [value])]
    if not len(table):
        raise StudyError(f"where {dict(where or {})}: must leave a training, and leaves none.")
    return table


def per_seed(
    trials: pd.DataFrame, value: str, by: Sequence[str], *, mean_over: Sequence[str] = ("seed",)
) -> pd.DataFrame:
    """Return `value` with a row for each of `mean_over` and a column for each of `by`.

    What else there are (folds, layers) is averaged.
    """
    return trials.pivot_table(index=list(mean_over), columns=list(by), values=value, aggfunc="mean")


def _of_run(record: Any, factors: Factors, fold: str | None) -> list[pd.DataFrame]:
    trials, history = record.trials(), record.history()
    if fold is not None:
        trials["fold"] = fold
    labels = trials[["number", "arm", "seed", "fold"]].copy()
    for name in dict.fromkeys(["norm", *(key for values in factors.values() for key in values)]):
        labels[name] = [factors.get(arm, {}).get(name) for arm in labels["arm"]]
    labels["groups"] = [_groups(norm) for norm in labels["norm"]]
    last = history.sort_values("evaluation").groupby("number")["loss"].last()
    measured = trials[["number", "state", "score", "seconds", "parameters"]].copy()
    measured["loss"] = measured["number"].map(last)
    cases = record.cases()
    learnt = [
        record.learnt_history(number).assign(number=number)
        for number, state in zip(trials["number"], trials["state"], strict=True)
        if state == "COMPLETE"
    ]
    final = [table[table["evaluation"] == table["evaluation"].max()] for table in learnt]
    weights = _joined(final) if final else pd.DataFrame({"number": []})
    if len(weights):
        depth = {slot: place for place, slot in enumerate(record.slots)}
        weights["depth"] = weights["slot"].map(depth)
    tables = [measured, cases[["number", "case", "score"]], history, weights]
    return [labels.merge(table, on="number") for table in tables]


def _counted_on(table: pd.DataFrame, before: int) -> pd.DataFrame:
    """Number trainings through all runs, for each run begins at 0."""
    return table.assign(number=table["number"] + before)


def _groups(norm: object) -> float:
    found = re.fullmatch(r"GN-(\d+)", str(norm))
    return float(found[1]) if found else {"LN": 1.0, "IN": math.inf}.get(str(norm), math.nan)


def _with_failures(trials: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Add a score of 0 on every case for trainings that diverged."""
    failed = trials[trials["state"] == "FAIL"]
    if not len(failed) or not len(cases):
        return cases
    parts = [cases]
    for _, row in failed.iterrows():
        same = cases["fold"].isna() if pd.isna(row["fold"]) else cases["fold"] == row["fold"]
        part = pd.DataFrame({"case": cases.loc[same, "case"].unique()})
        for name in cases.columns.difference(["case", "score"]):
            part[name] = row[name]
        parts.append(part.assign(score=0.0))
    return pd.concat(parts, ignore_index=True)[list(cases)]


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    kept = [part for part in parts if len(part)]
    return pd.concat(kept, ignore_index=True) if kept else parts[0]
