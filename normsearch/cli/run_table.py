"""The table of runs, for `normsearch`, `normsearch status` and `normsearch list runs`."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from normsearch.cli.terminal import Terminal, show


def show_runs(runs_dir: Path, as_json: bool = False) -> None:
    """Print the runs below a folder: trials done, best score, and time of the last change."""
    from normsearch.storage.run_list import list_runs

    runs = list_runs(runs_dir)
    if as_json:
        print(json.dumps({run.name: run.to_json() for run in runs}))
        return
    if not runs:
        show(f"There are no runs in {runs_dir} yet; start one with: normsearch run quickstart")
        return
    table = Table("run", box=None, header_style="bold", pad_edge=False)
    table.add_column("trials", justify="right")
    table.add_column("best")
    table.add_column("last changed")
    for run in runs:
        best = "" if run.best is None else f"{run.metric} {run.best:.3f} (trial {run.trial})"
        most = "at most " if run.at_most else ""
        done = f"{run.done}" if run.asked is None else f"{run.done} of {most}{run.asked}"
        done = "" if run.fault else done
        when = run.changed.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(run.name, done, "cannot be read" if run.fault else best, when)
    console = Terminal()
    console.print(table)
    for run in runs:
        if run.fault:
            console.print(run.fault, highlight=False, soft_wrap=True)
