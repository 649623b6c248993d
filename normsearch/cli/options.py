"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="NORMSEARCH_RUNS", help="Where runs are kept.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="NORMSEARCH_DATA", help="The folder that holds the data sets."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="Optuna storage URL instead of the run's journal file."),
]
Checkpoints = Annotated[
    str | None,
    typer.Option("--checkpoints", help="URL for checkpoints where workers share no run folder."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="A running Ray cluster to join, such as auto.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trials at once (default: as many as fit).")
]
Local = Annotated[
    bool, typer.Option("--local", help="Train in this process, one trial after another, no Ray.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="A run's name, or its folder.", show_default=False)]

RUNS = Path("runs")
