"""`normsearch report`: a run in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import RUNS, Name, RunsDir, Storage
from normsearch.cli.terminal import show


def report(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file (default: RUN/report/).")
    ] = None,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
) -> None:
    """Gather figures, tables and the record of a run in one self-contained HTML file."""
    from normsearch.study import open_study

    show(str(open_study(name, runs_dir=runs_dir, storage=storage).report(output)))
