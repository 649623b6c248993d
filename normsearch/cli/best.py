"""`normsearch best`: the best trial of a run and its norm map."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from normsearch.cli.options import RUNS, Json, Name, RunsDir, Storage
from normsearch.errors import StudyError

_COLUMNS = {"memory": "peak_memory_bytes"}  # objectives whose column is called otherwise

if TYPE_CHECKING:
    from normsearch.search.records import StudyRecord


def best(
    name: Name, runs_dir: RunsDir = RUNS, storage: Storage = None, as_json: Json = False
) -> None:
    """Show the best completed trial: score, learning rate, batch size and the norm of each slot."""
    from normsearch.search.records import StudyRecord
    from normsearch.search.run_folder import find_run

    folder = find_run(name, runs_dir)
    record = StudyRecord(folder, storage)
    found = best_of(record)
    if found is None:
        raise StudyError(
            f"{name}: must have a COMPLETE trial, and has none yet; "
            f"see `normsearch status {name}`, go on with `normsearch resume {name}`."
        )
    if as_json:
        print(json.dumps(found))
    else:
        part = "test" if record.config["task"].get("validation") == "test" else "validation"
        _show(found, f"{part} {record.metric}")


def best_of(record: StudyRecord) -> dict[str, Any] | None:
    """Return the best COMPLETE trial and the best single-norm baseline as plain values."""
    from normsearch.search.run_folder import trial_folder

    number = record.best
    if number is None:
        return None
    from normsearch.search.supernet import agreement

    rows: list[dict[Any, Any]] = record.trials().to_dict(orient="records")
    row = rows[number]
    single = [r for r in rows if isinstance(r["baseline"], str) and r["state"] == "COMPLETE"]
    best_single = None
    if single:
        top = max(single, key=lambda r: float(r["score"]))
        best_single = {"norm": top["baseline"], "score": float(top["score"])}
    return {
        "study": record.name,
        "number": number,
        "metric": record.metric.lower(),
        "score": float(row["score"]),
        "learning_rate": float(row["learning_rate"]),
        "batch_size": int(row["batch_size"]),
        "baseline": row["baseline"] if isinstance(row["baseline"], str) else None,
        "norm_map": record.norm_map(number),
        "best_single_norm": best_single,
        "pareto_front": _front(record, rows),
        "supernet": agreement(record),
        "trial_file": str(trial_folder(record.folder, number) / "trial.json"),
    }


def _front(record: StudyRecord, rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """The trials that none is better than in every objective; none where there is but one."""
    objectives = record.config["search"].get("objectives", ["score"])
    if len(objectives) < 2:
        return []
    columns = {name: _COLUMNS.get(name, name) for name in objectives}
    front = [rows[number] for number in record.pareto_front()]
    front.sort(key=lambda row: -float(row["score"]))
    return [
        {"number": int(row["number"]), **{n: float(row[c]) for n, c in columns.items()}}
        for row in front
    ]


def _show(found: dict[str, Any], metric: str) -> None:
    console = Console()
    console.print(
        f"Trial {found['number']} of {found['study']}: {metric} {found['score']:.3f}, "
        f"learning rate {found['learning_rate']:.3g}, batch size {found['batch_size']}",
        soft_wrap=True,
    )
    table = Table("slot", "norm", box=None, header_style="bold", pad_edge=False)
    for slot, spec in found["norm_map"].items():
        table.add_row(slot, spec)
    console.print(table)
    if single := found["best_single_norm"]:
        console.print(
            f"Best single norm: {single['norm']}, {metric.split()[-1]} {single['score']:.3f}"
        )
    if front := found["pareto_front"]:
        _show_front(console, front)
    if supernet := found["supernet"]:
        console.print(
            f"Supernet against {supernet['trials']} trials: Spearman {supernet['rho']:.2f} "
            f"[{supernet['low']:.2f}, {supernet['high']:.2f}]",
            soft_wrap=True,
        )
    console.print(f"Train it again: normsearch train {found['trial_file']}", soft_wrap=True)


def _show_front(console: Console, front: list[dict[str, Any]]) -> None:
    """Show what is traded: each further trial is better in something."""
    console.print("Pareto front (none is better in every objective):")
    names = [name for name in front[0] if name != "number"]
    table = Table("trial", *names, box=None, header_style="bold", pad_edge=False)
    for row in front:
        table.add_row(str(row["number"]), *(f"{row[name]:.4g}" for name in names))
    console.print(table)
