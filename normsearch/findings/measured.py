"""What a part of an experiment measured, as tables that a judge reads and a file keeps."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.errors import StudyError, did_you_mean
from normsearch.files import open_regular, write_bytes

Factors = Mapping[str, Mapping[str, Any]]
_LABELS = ["number", "arm", "seed", "fold"]
_MEASURED = ["number", "state", "score", "seconds", "samples", "steps", "parameters"]


@dataclass(frozen=True, eq=False)
class Measured:
    """The trainings of a part. Tables of trainings have the columns arm, seed, fold and factors.

    `number` counts trainings through all runs of the part.

    Attributes:
        trials: a row a training: state, score, loss (the last), seconds, samples, steps,
            parameters, and of trainings on patches seam.
        cases: a row a case of a training: case, score, and of trainings on patches seam (NaN where
            none was measured). A training that diverged has score 0 on every case.
        learnt: what adaptive norms ended with: depth (place of the layer, 0 is the first), slot,
            statistic, branch, weight.
        values: a table of any kind, of a measurement alone.
    """

    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    cases: pd.DataFrame = field(default_factory=pd.DataFrame)
    learnt: pd.DataFrame = field(default_factory=pd.DataFrame)
    values: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def diverged(self) -> int:
        """Trainings that failed."""
        return int((self.trials["state"] == "FAIL").sum()) if len(self.trials) else 0

    def scores(self, by: str, **where: Any) -> pd.DataFrame:
        """Return case scores: a row a (seed, case), a column for each value of `by`."""
        return _pivot(select(self.cases, where), by, ["seed", "case"], "score")

    def seams(self, by: str, **where: Any) -> pd.DataFrame:
        """Return seams of cases: a row a (seed, case), a column for each value of `by`.

        Raises:
            StudyError: no training was on patches, so that none has a seam.
        """
        return _pivot(select(self.cases, where), by, ["seed", "case"], "seam")

    def means(self, by: str, value: str = "score", **where: Any) -> pd.DataFrame:
        """Return a number of each training: a row a seed, a column for each value of `by`.

        What else there are (folds, arms) is averaged; a training that diverged has score 0.
        """
        return _pivot(select(self.trials, where).fillna({"score": 0.0}), by, ["seed"], value)

    def shares(self, by: str | Sequence[str], **where: Any) -> pd.DataFrame:
        """Return mean learnt weights: a row a seed, a column for each value of `by`.

        Several of `by` make columns of several levels.
        """
        return _pivot(select(self.learnt, where), by, ["seed"], "weight")

    def best_setting(self, norm: str, **where: Any) -> dict[str, Any]:
        """Return learning_rate and batch_size of a norm's best mean score; diverged counts 0."""
        own = select(self.trials, {"norm": norm, **where}).fillna({"score": 0.0})
        means = own.groupby(["learning_rate", "batch_size"])["score"].mean().reset_index()
        best = means.iloc[int(means["score"].to_numpy().argmax())]
        return {
            "learning_rate": float(best["learning_rate"]), "batch_size": int(best["batch_size"])
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the tables as compressed JSON, the same bytes for the same tables."""
        tables = {
            name: json.loads(table.to_json(orient="split", index=False, double_precision=10))
            for name, table in self.__dict__.items()
        }
        text = json.dumps(tables, separators=(",", ":"))
        write_bytes(path, gzip.compress(text.encode(), mtime=0))

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Return what `write` wrote.

        Raises:
            StudyError: no such file, or it is no such table.
        """
        if not path.is_file():
            raise StudyError(f"{path}: must hold the tables of an experiment, and is missing.")
        try:
            with open_regular(path) as file:
                tables = json.loads(gzip.decompress(file.read()))
            names = {name: io.StringIO(json.dumps(table)) for name, table in tables.items()}
            return cls(**{
                name: pd.read_json(text, orient="split", dtype={"fold": str, "seed": int})
                for name, text in names.items()
            })  # fmt: skip
        except (ValueError, OSError, EOFError, TypeError, AttributeError, zlib.error) as error:
            raise StudyError(f"{path}: must hold the tables of an experiment: {error}.") from error


def measure(runs: Iterable[tuple[Any, Factors]]) -> Measured:
    """Return what finished runs measured, each a (StudyRecord, factors of its arms)."""
    parts: list[Measured] = []
    before = 0
    for record, factors in runs:
        parts.append(_of_run(record, factors, before))
        before += len(parts[-1].trials)
    return Measured(**{
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        for name in ("trials", "cases", "learnt")
    })  # fmt: skip


def select(table: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows whose columns have the value (or one of the values) of `where`.

    Raises:
        StudyError: there is no such column, or no such row.
    """
    _check_columns(table, where, "where")
    for name, value in where.items():
        table = table[table[name].isin(value if isinstance(value, list | tuple) else [value])]
    if not len(table):
        raise StudyError(f"where: must leave a training, and there is none with {dict(where)}.")
    return table


def _check_columns(table: pd.DataFrame, names: Iterable[str], argument: str) -> None:
    known = [str(name) for name in table]
    for name in names:
        if name not in known:
            raise StudyError(
                f"{argument}: must be among {', '.join(known)}, got {name!r}."
                f"{did_you_mean(name, known)}"
            )


def _pivot(
    table: pd.DataFrame, by: str | Sequence[str], rows: list[str], value: str
) -> pd.DataFrame:
    columns = by if isinstance(by, str) else list(by)
    _check_columns(table, [by] if isinstance(by, str) else by, "by")
    return table.pivot_table(index=rows, columns=columns, values=value, aggfunc="mean", sort=True)


def _of_run(record: Any, factors: Factors, before: int) -> Measured:
    trials, history = record.trials(), record.history()
    labels = trials[_LABELS].copy()
    labels["fold"] = labels["fold"].astype(str)
    for name in dict.fromkeys(key for values in factors.values() for key in values):
        labels[name] = [factors.get(arm, {}).get(name) for arm in labels["arm"]]
    measured = trials[_MEASURED + _seam_of(trials)]
    last = history.sort_values("evaluation").groupby("number")["loss"].last()
    measured = measured.assign(loss=measured["number"].map(last))
    scored = record.cases()
    cases = labels.merge(scored[["number", "case", "score", *_seam_of(scored)]], on="number")
    cases = _with_failures(labels.merge(measured[["number", "state"]], on="number"), cases)
    learnt = labels.merge(_learnt(record, trials), on="number")
    tables = [labels.merge(measured, on="number"), cases, learnt]
    return Measured(*(table.assign(number=table["number"] + before) for table in tables))


def _seam_of(table: pd.DataFrame) -> list[str]:
    """The column of seams, if a training of the table was on patches."""
    return ["seam"] if "seam" in table and table["seam"].notna().any() else []


def _learnt(record: Any, trials: pd.DataFrame) -> pd.DataFrame:
    """The weights that adaptive norms ended with, of COMPLETE trainings."""
    depth = {slot: place for place, slot in enumerate(record.slots)}
    parts = [pd.DataFrame(columns=["number", "slot", "statistic", "branch", "weight", "depth"])]
    for number in trials.loc[trials["state"] == "COMPLETE", "number"]:
        points = record.learnt_history(number)
        own = points[points["evaluation"] == points["evaluation"].max()]
        own = own.drop(columns=["evaluation", "samples"])
        parts.append(own.assign(number=number, depth=own["slot"].map(depth)))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def _with_failures(trials: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Add a score of 0 on every case for trainings that diverged."""
    failed = trials[trials["state"] == "FAIL"].drop(columns="state")
    scored = cases[["fold", "case"]].drop_duplicates()
    zeros = failed.merge(scored, on="fold").assign(score=0.0)
    return pd.concat([cases, zeros], ignore_index=True)[list(cases)] if len(zeros) else cases
