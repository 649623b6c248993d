"""`normsearch best`: the best trial of a run and its norm map."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from normsearch.cli.options import RUNS, Json, Name, RunsDir, Storage
from normsearch.cli.terminal import Terminal
from normsearch.errors import StudyError

_COLUMNS = {"memory": "peak_memory_bytes"}  # objectives whose column is called otherwise

if TYPE_CHECKING:
    from normsearch.storage.records import StudyRecord


def best(
    name: Name, runs_dir: RunsDir = RUNS, storage: Storage = None, as_json: Json = False
) -> None:
    """Show the best completed trial: score, learning rate, batch size and the norm of each slot."""
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import find_run

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
    """Return the best COMPLETE trial and the best trial of each single norm as plain values.

    Keys: study, metric, number, score, what the trial chose (learning_rate, batch_size, ...),
    steps, baseline and single_norm (None of a mixture), norm_map, single_norms (a row a norm, the
    best first: norm, number, score, its setting, steps, and trials, how many settings were tried),
    best_single_norm (the first of them), best_mixture (the same of the best mixture), edges
    (sentences on numbers chosen at the end of their range), pareto_front, supernet, trial_file.
    """
    from normsearch.search.supernet import agreement
    from normsearch.storage.run_folder import trial_folder

    number = record.best
    if number is None:
        return None
    rows: list[dict[Any, Any]] = record.trials().to_dict(orient="records")
    single = single_norms(record, rows)
    mixture = next(
        (n for n in record.ranked() if not isinstance(rows[n]["single_norm"], str)), None
    )
    return {
        "study": record.name,
        "metric": record.metric.lower(),
        **_result(record, rows[number]),
        "baseline": _text(rows[number]["baseline"]),
        "single_norm": _text(rows[number]["single_norm"]),
        "norm_map": record.norm_map(number),
        "best_single_norm": single[0] if single else None,
        "best_mixture": None if mixture is None else _result(record, rows[mixture]),
        "single_norms": single,
        "edges": _edges(record, number, single),
        "pareto_front": _front(record, rows),
        "supernet": agreement(record),
        "trial_file": str(trial_folder(record.folder, number) / "trial.json"),
    }


def single_norms(record: StudyRecord, rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Return the best trial of each single norm, the best norm first; see `best_of`."""
    tried = defaultdict[Any, set[str]](set)
    for row in (row for row in rows if isinstance(row["single_norm"], str)):
        tried[row["single_norm"]].add(str(record.values(int(row["number"]))))
    return [
        {"norm": norm, **_result(record, rows[number]), "trials": len(tried[norm])}
        for norm, number in record.best_single_norms().items()
    ]


def _result(record: StudyRecord, row: dict[Any, Any]) -> dict[str, Any]:
    number = int(row["number"])
    return {
        "number": number,
        "score": float(row["score"]),
        **record.values(number),
        "steps": int(row["steps"]),
    }


def _edges(record: StudyRecord, number: int, single: list[dict[str, Any]]) -> list[str]:
    """What was chosen at the end of its range, in the best trial and the best single norm."""
    from normsearch.space.range_ends import at_edges

    space = record.config["space"]
    found = [f"Trial {number}: {told}" for told in at_edges(space, record.values(number))]
    if single and single[0]["number"] != number:
        at = f"{single[0]['norm']}, the best single norm (trial {single[0]['number']})"
        found += [f"{at}: {told}" for told in at_edges(space, single[0])]
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


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
    console = Terminal()
    what = f" ({found['single_norm']} everywhere)" if found["single_norm"] else ""
    console.print(
        f"Trial {found['number']} of {found['study']}{what}: {metric} {found['score']:.3f}, "
        f"learning rate {found['learning_rate']:.3g}, batch size {found['batch_size']}, "
        f"{found['steps']} steps",
        soft_wrap=True,
    )
    table = Table("slot", "norm", box=None, header_style="bold", pad_edge=False)
    for slot, spec in found["norm_map"].items():
        table.add_row(slot, spec)
    console.print(table)
    if found["single_norms"]:
        console.print(_comparison(found, metric.split()[-1]))
    for sentence in found["edges"]:
        console.print(sentence, soft_wrap=True, highlight=False)
    if front := found["pareto_front"]:
        _show_front(console, front)
    if supernet := found["supernet"]:
        console.print(
            f"Supernet against {supernet['trials']} trials: Spearman {supernet['rho']:.2f} "
            f"[{supernet['low']:.2f}, {supernet['high']:.2f}]",
            soft_wrap=True,
        )
    console.print(f"Train it again: normsearch train {found['trial_file']}", soft_wrap=True)


def _comparison(found: dict[str, Any], metric: str) -> Table:
    """Each single norm at its own best setting, and the best mixture."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = ("single norm, at its best", metric, "lr", "batch", "steps", "settings tried")
    for column in (columns[0], "trial", *columns[1:]):
        table.add_column(column, justify="left" if column == columns[0] else "right")
    mixture = found["best_mixture"]
    rows = [*found["single_norms"], *([{"norm": "(best mixture)", **mixture}] if mixture else [])]
    for row in rows:
        cells = (f"{row['score']:.3f}", f"{row['learning_rate']:.3g}", str(row["batch_size"]))
        tried = str(row.get("trials", ""))
        table.add_row(row["norm"], str(row["number"]), *cells, str(row["steps"]), tried)
    return table


def _show_front(console: Terminal, front: list[dict[str, Any]]) -> None:
    """Show what is traded: each further trial is better in something."""
    console.print("Pareto front (none is better in every objective):")
    names = [name for name in front[0] if name != "number"]
    table = Table("trial", *names, box=None, header_style="bold", pad_edge=False)
    for row in front:
        table.add_row(str(row["number"]), *(f"{row[name]:.4g}" for name in names))
    console.print(table)
