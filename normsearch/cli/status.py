"""`normsearch status`: where a run stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from normsearch.cli.options import RUNS, Json, Name, RunsDir, Storage

if TYPE_CHECKING:
    from normsearch.search.records import StudyRecord

_COLUMNS = ("number", "state", "score", "last_score", "baseline", "learning_rate", "batch_size")


def status(
    name: Name, runs_dir: RunsDir = RUNS, storage: Storage = None, as_json: Json = False
) -> None:
    """Show the trials of a run: a table for people, --json for programs."""
    from normsearch.search.records import StudyRecord
    from normsearch.search.run_folder import find_run

    record = StudyRecord(find_run(name, runs_dir), storage)
    found = status_of(record)
    if as_json:
        print(json.dumps(found))
    else:
        _show(found, record.metric)


def status_of(record: StudyRecord) -> dict[str, Any]:
    """Return a run's name, metric, asked, states (counts), best, and its trials, as plain values.

    A trial that is RUNNING in the storage while nobody alive holds it counts as INTERRUPTED.
    """
    trials = record.trials()
    trials = trials.assign(state=_with_interrupted(trials, record.folder))
    order = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "INTERRUPTED", "WAITING", "DUPLICATE")
    counts = trials["state"].value_counts()
    best = record.best
    rows = trials[[*_COLUMNS, "samples", "seconds", "resumes", "failure"]]
    plain = json.loads(rows.to_json(orient="records", double_precision=15))
    return {
        "name": record.name,
        "metric": record.metric.lower(),
        "asked": record.config["search"]["trials"],
        "states": {state: int(counts.get(state, 0)) for state in order},
        "best": next((row for row in plain if row["number"] == best), None),
        "trials": plain,
    }


def _with_interrupted(trials: pd.DataFrame, folder: Path) -> list[str]:
    from normsearch.search.leases import Leases

    if not (folder / "leases.log").exists():
        return list(trials["state"])
    leases = Leases(folder / "leases.log")
    return [
        "INTERRUPTED" if state == "RUNNING" and leases.holder(number) is None else state
        for number, state in zip(trials["number"], trials["state"], strict=True)
    ]


def _show(found: dict[str, Any], metric: str) -> None:
    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("trial", "state", metric, "baseline", "lr", "batch", "samples", "time (s)"):
        table.add_column(column, justify="left" if column in ("state", "baseline") else "right")
    for row in found["trials"]:
        score = row["score"] if row["score"] is not None else row["last_score"]
        best = found["best"] is not None and row["number"] == found["best"]["number"]
        table.add_row(
            str(row["number"]),
            row["failure"] or row["state"],
            _number(score, ".3f"),
            row["baseline"] or "",
            _number(row["learning_rate"], ".3g"),
            _number(row["batch_size"], ".0f"),
            _number(row["samples"], ".0f"),
            _number(row["seconds"], ".0f"),
            style="bold" if best else None,
        )
    console.print(table)
    states = ", ".join(f"{count} {state}" for state, count in found["states"].items() if count)
    console.print(
        f"{found['name']}: {states or 'no trials yet'}; {found['asked']} asked for", soft_wrap=True
    )
    if found["best"]:
        best_row = found["best"]
        console.print(f"Best {metric} {best_row['score']:.3f}, trial {best_row['number']} (bold)")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
