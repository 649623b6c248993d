"""`normsearch status`: the state of a run, or of all runs."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from normsearch.cli.options import Json, OptionalName, Where
from normsearch.cli.run_table import show_runs
from normsearch.cli.terminal import Terminal, said_of_trainings, show
from normsearch.errors import count
from normsearch.files import is_there

if TYPE_CHECKING:
    from normsearch.confirmation.look_course import Course
    from normsearch.storage.records import StudyRecord

_COLUMNS = (
    *("number", "state", "score", "last_score", "baseline", "single_norm", "arm", "seed"),
    *("learning_rate", "batch_size"),
)

_LONGEST = 3600.0  # seconds between two refreshes
_SHOWN = 100  # newest trials in the table without --all


def status(
    *,
    name: OptionalName = None,
    every: Annotated[bool, typer.Option("--all", help="Show every trial of a long run.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until the run ends.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two refreshes.")] = 2.0,
    where: Where,
    as_json: Json = False,
) -> None:
    """Show the trials of a run; without a name, list the runs.

    Example: normsearch status quickstart --watch
    """
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import find_run

    if name is None:
        if watch or where.storage:
            raise typer.BadParameter("--watch and --storage need the name of a run")
        show_runs(where.runs_dir, as_json)
        return
    record = StudyRecord(find_run(name, where.runs_dir), where.storage, skim=True)
    if watch:
        _watch(record, interval, as_json)
        return
    found = status_of(record)
    if as_json:
        print(json.dumps(found))
    else:
        console = Terminal()
        for part in _tables(found, record.metric, None if every else _SHOWN):
            console.print(part, soft_wrap=isinstance(part, str))
        if found["states"]["INTERRUPTED"] and not found["states"]["RUNNING"]:
            from normsearch.cli.running import reference

            show(f"Resume with: normsearch resume {reference(record)}")


def _watch(record: StudyRecord, interval: float, as_json: bool) -> None:
    """Show the newest trials until all are finished; without a terminal, a line at each change."""
    console, said = Terminal(), ""
    plain = as_json or not console.is_terminal
    with Live(console=console, auto_refresh=False) if not plain else nullcontext() as live:
        while True:
            found = status_of(record)
            if live:
                rows = max(console.height - 6, 5)
                live.update(Group(*_tables(found, record.metric, rows)), refresh=True)
            elif (line := json.dumps(found) if as_json else _counts(found)) != said:
                show(line)
                said = line
            if found["ended"]:
                return
            time.sleep(interval if 0.1 <= interval <= _LONGEST else _LONGEST)


def status_of(record: StudyRecord) -> dict[str, Any]:
    """Return the state of a run as plain values.

    Keys: name, metric, direction, asked, ended, looks, states (counts), shares, seconds_to_go,
    expected_gain, budget, best and trials. `asked` is None while a search's hours, samples or stop
    rule decide it; see `budget_of`. `ended` is whether as many as asked for are finished. In a
    confirmation in looks, `asked` counts the trainings up to the next look, and `looks` are
    sentences on what is decided, open, and still to be trained; else None. `shares` holds
    the number of trials of each kind: default (single norms at the space's default setting), tuning
    (of single norms) and mixtures; and single_norms, the share of the trials after the defaults
    that tune single norms. It is None for fixed trainings. After a round of a race `best` also
    holds mean_score and trainings, see `StudyRecord`.

    A trial that is RUNNING in the storage, but that no living driver holds, is INTERRUPTED. Once a
    run has ended, none is WAITING: `trials` leaves those out, and `budget` counts them.
    """
    from normsearch.storage.cost_to_go import budget_of

    course, trials = _course(record), record.trials()
    ended = course.finished if course else record.ended
    trials = trials.assign(state=_with_interrupted(trials, record.folder))
    order = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "INTERRUPTED", "WAITING", "DUPLICATE")
    counts = {state: int((trials["state"] == state).sum()) for state in order}
    found, best = budget_of(record, counts["RUNNING"]), record.best
    if ended and counts["WAITING"]:
        found["budget"].append(_not_started(counts["WAITING"]))
        counts["WAITING"] = 0
    raced = ["replicate_of"] if trials["replicate_of"].notna().any() else []
    seam = ["seam"] if trials["seam"].notna().any() else []
    measured = ["samples", "steps", "seconds", *seam]
    rows = trials[[*_COLUMNS, *raced, *measured, "resumes", "failure"]]
    plain = json.loads(rows.to_json(orient="records", double_precision=15))
    return {
        "name": record.name,
        "metric": record.metric.lower(),
        "direction": record.direction,
        "asked": course.trainings if course else record.asked,
        "ended": ended,
        "looks": _told(course) if course else None,
        "states": counts,
        "shares": _shares(record),
        **found,
        "best": None if best is None else {**plain[best], **_raced(record, best)},
        "trials": [row for row in plain if not (ended and row["state"] == "WAITING")],
    }


def _not_started(waiting: int) -> str:
    """Return a sentence on the trials that were enqueued and that a search ended before."""
    told = count(waiting, "enqueued trial")
    return f"Not started when the search ended: {told}; with a larger limit they come first."


def _raced(record: StudyRecord, best: int) -> dict[str, Any]:
    """Return what the best trial's score is a mean of, if a race recommends it."""
    if not record.raced():
        return {}
    return {"mean_score": record.mean_score(best), "trainings": record.trainings(best)}


def _course(record: StudyRecord) -> Course | None:
    """Return the looks so far of a confirmation in looks, None for other runs."""
    if record.config["space"].get("design") != "looks":
        return None
    from normsearch.config.reading import read_recorded_study
    from normsearch.confirmation.look_course import course_of

    return course_of(record, read_recorded_study(record.folder))


def _told(course: Course) -> list[str]:
    from normsearch.confirmation.look_progress import progress_sentences

    return list(progress_sentences(course))


def _shares(record: StudyRecord) -> dict[str, float] | None:
    if "arms" in record.config["space"]:
        return None
    return {**record.shares(), "single_norms": record.config["search"]["single_norms"]}


def _with_interrupted(trials: pd.DataFrame, folder: Path) -> list[str]:
    from normsearch.storage.leases import Leases

    if not is_there(folder / "leases.log"):
        return list(trials["state"])
    leases = Leases(folder / "leases.log", glance=True)
    return [
        "INTERRUPTED" if state == "RUNNING" and leases.holder(number) is None else state
        for number, state in zip(trials["number"], trials["state"], strict=True)
    ]


def _tables(found: dict[str, Any], metric: str, newest: int | None) -> list[Table | str]:
    table = Table(box=None, header_style="bold", pad_edge=False)
    arms = any(row["arm"] for row in found["trials"])
    kind = "arm, seed" if arms else "single norm"
    seam = ("seam",) if any("seam" in row for row in found["trials"]) else ()
    measured = ("samples", "steps", "time (s)", *seam)
    for column in ("trial", "state", metric, kind, "lr", "batch", *measured):
        table.add_column(column, justify="left" if column in ("state", kind) else "right")
    for row in found["trials"][-(newest or 0) :]:
        score = row["score"] if row["score"] is not None else row["last_score"]
        best = found["best"] is not None and row["number"] == found["best"]["number"]
        table.add_row(
            str(row["number"]),
            row["failure"] or row["state"],
            _number(score, ".3f"),
            _kind(row),
            _number(row["learning_rate"], ".3g"),
            _number(row["batch_size"], ".0f"),
            _number(row["samples"], ".0f"),
            _number(row["steps"], ".0f"),
            _number(row["seconds"], ".0f"),
            *(_number(row["seam"], ".4f") for _ in seam),
            style="bold" if best else None,
        )
    parts: list[Table | str] = [table, _counts(found), *(found.get("looks") or ())]
    parts += found.get("budget") or ()
    if newest and (hidden := len(found["trials"]) - newest) > 0:
        parts.insert(0, f"{hidden} earlier trials are not shown; --all shows them")
    if shares := found["shares"]:
        parts.append(
            f"Single norms: {shares['default']} trials at the default setting, {shares['tuning']} "
            f"tuning them; mixtures: {shares['mixtures']} (search.single_norms "
            f"{shares['single_norms']:g})"
        )
    if found["best"]:
        best_row = found["best"]
        lower = ", lower is better" if found["direction"] == "minimize" else ""
        seeds = said_of_trainings(best_row.get("trainings", []))
        told = (
            f"{best_row.get('mean_score', best_row['score']):.3f}{f' ({seeds})' if seeds else ''}"
        )
        parts.append(f"Best {metric} {told}, trial {best_row['number']} (bold){lower}")
    return parts


def _kind(row: dict[str, Any]) -> str:
    """Return a trial's arm, the trial that it trains again, or its single norm."""
    if row["arm"]:
        return f"{row['arm']}, {row['seed']:.0f}"
    if row.get("replicate_of") is not None:
        return f"trial {row['replicate_of']:.0f} again, seed {row['seed']:.0f}"
    return row["single_norm"] or ""


def _counts(found: dict[str, Any]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in found["states"].items() if count)
    asked = "as many as fit" if found["asked"] is None else found["asked"]
    return f"{found['name']}: {states or 'no trials yet'}; {asked} asked for"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
