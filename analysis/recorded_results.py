"""Results of findings as they are recorded: one JSON file a statement and scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from normsearch.config import Model
from normsearch.config.reading import validate
from normsearch.errors import ConfigError, StudyError
from normsearch.files import is_folder
from normsearch.files.json_file import read_object

Verdict = Literal["reproduced", "contradicted", "equivalent", "not distinguishable"]

#: The results that ship with the package.
SHIPPED = Path(__file__).parent / "results"


class _Contrast(Model):
    """One interval of a result."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    name: str
    outcome: Verdict
    estimate: float
    low: float | None
    high: float | None
    claim: Literal["above", "within"]
    margin: float | None
    unit: str
    published: float | None
    ratio: bool


class _Result(Model):
    """The keys of a result file that are read again."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    finding: str
    text: str
    scale: Literal["toy", "small", "paper"]
    verdict: Verdict
    told: str
    paper: str
    metric: str
    plan: str
    advice: str
    interval: str
    contrasts: tuple[_Contrast, ...]
    trainings: int
    seeds: int
    cases: int
    flags: list[str]
    experiment: str
    source: str
    notes: str
    sha256: str
    runs: tuple[str, ...] = ()
    date: str


def default_folder() -> Path:
    """Return where results are written: analysis/results of the working folder, else results."""
    own = Path("analysis/results")
    return own if is_folder(own) else Path("results")


def read_results(folders: Iterable[Path] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the latest result of each (finding, scale): those shipped and the working folder's.

    Raises:
        StudyError: a file there is no result.
    """
    places = folders if folders is not None else (SHIPPED, default_folder())
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted({p.resolve() for folder in places for p in folder.glob("*-*.json")}):
        result = read_result(path)
        key = result["finding"], result["scale"]
        if key not in latest or latest[key]["date"] <= result["date"]:
            latest[key] = result
    return latest


def read_result(path: Path) -> dict[str, Any]:
    """Return the result of a finding that a file holds.

    Raises:
        StudyError: the file is no result.
    """
    raw = read_object(path, StudyError)
    try:
        return validate(_Result, raw, f"{path}: must be the result of a finding").model_dump()
    except ConfigError as error:
        raise StudyError(str(error)) from error


def estimate_of(contrast: Mapping[str, Any]) -> str:
    """Return estimate and interval of a contrast as text, a ratio as itself.

    >>> estimate_of({"estimate": 0.031, "low": 0.0123, "high": None, "ratio": False})
    '0.031 [0.012, –]'
    """
    shown = [contrast[name] for name in ("estimate", "low", "high")]
    if contrast["ratio"]:
        shown = [value if value is None else math.exp(value) for value in shown]
    told = ["–" if value is None else f"{value:.3f}" for value in shown]
    return f"{told[0]} [{told[1]}, {told[2]}]"
