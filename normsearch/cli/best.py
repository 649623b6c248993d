"""`normsearch best`: the best trial of a run and its norm map."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from normsearch.cli.options import Json, Name, Where
from normsearch.cli.terminal import (
    WEIGHED,
    Terminal,
    said_of_posterior,
    said_of_trainings,
    untrained,
)


def best(*, name: Name, where: Where, as_json: Json = False) -> None:
    """Show the best completed trial: score, learning rate, batch size and the norm of each slot.

    Example: normsearch best quickstart
    """
    from normsearch.run import no_best_trial

    study = where.open(name)
    found = study.best
    if found is None:
        raise no_best_trial(study.record)
    if as_json:
        print(json.dumps(found))
    else:
        part = "test" if study.config.task.validation == "test" else "validation"
        _show(found, f"{part} {study.config.metric}")


def _show(found: dict[str, Any], metric: str) -> None:
    console = Terminal()
    seeds = said_of_trainings(found.get("trainings", []))
    what = f" ({found['single_norm']} everywhere)" if found["single_norm"] else ""
    console.print(
        f"Trial {found['number']} of {found['study']}{what}: {metric} {found['score']:.3f}"
        f"{f' ({seeds})' if seeds else ''}, "
        f"learning rate {found['learning_rate']:.3g}, batch size {found['batch_size']}, "
        f"{found['steps']} steps{', lower is better' * (found['direction'] == 'minimize')}"
        f"{_seam(found, ', seam ')}",
        soft_wrap=True,
    )
    if posterior := found.get("posterior"):
        console.print(said_of_posterior(posterior), soft_wrap=True)
    if highest := found.get("highest_single_training"):
        console.print(
            f"Recommended by the race, for all its trainings: {WEIGHED}. The best score of a "
            f"single training is {highest['score']:.3f}, of trial {highest['number']}.",
            soft_wrap=True,
        )
    table = Table("slot", "norm", box=None, header_style="bold", pad_edge=False)
    for slot, spec in found["norm_map"].items():
        table.add_row(slot, spec)
    console.print(table)
    if found["single_norms"]:
        console.print(_comparison(found, metric.partition(" ")[2]))
    if found["untrained"]:
        console.print(untrained(found), soft_wrap=True, highlight=False)
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
    """Return a table of each single norm at its own best setting, and the best mixture."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    seam = ("seam",) if "seam" in found else ()
    seeds = ("seeds",) if "trainings" in found else ()
    columns = (
        *("single norm, at its best", metric, *seeds, "lr", "batch", "steps", *seam),
        "settings tried",
    )
    for column in (columns[0], "trial", *columns[1:]):
        table.add_column(column, justify="left" if column == columns[0] else "right")
    mixture = found["best_mixture"]
    rows = [*found["single_norms"], *([{"norm": "(best mixture)", **mixture}] if mixture else [])]
    for row in rows:
        trained = [_seeds(row["trainings"])] if seeds else []
        setting = (f"{row['learning_rate']:.3g}", str(row["batch_size"]))
        cells = (f"{row['score']:.3f}", *trained, *setting)
        tried = str(row.get("trials", ""))
        measured = (str(row["steps"]), *([_seam(row)] if seam else []))
        table.add_row(row["norm"], str(row["number"]), *cells, *measured, tried)
    return table


def _seeds(trainings: list[dict[str, Any]]) -> str:
    """Return how many trainings a mean is of, and how many failed: "2, 1 failed"."""
    lost = sum(one["score"] is None for one in trainings)
    return f"{len(trainings) - lost}{f', {lost} failed' if lost else ''}"


def _seam(row: dict[str, Any], before: str = "") -> str:
    return f"{before}{row['seam']:.4f}" if "seam" in row else ""


def _show_front(console: Terminal, front: list[dict[str, Any]]) -> None:
    """Show the trials of the Pareto front."""
    console.print("Pareto front (no trial is better in every objective):")
    names = [name for name in front[0] if name != "number"]
    table = Table("trial", *names, box=None, header_style="bold", pad_edge=False)
    for row in front:
        table.add_row(str(row["number"]), *(f"{row[name]:.4g}" for name in names))
    console.print(table)
