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
    from normsearch.cli.figures import analysis_module
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import find_run

    record = StudyRecord(find_run(name, runs_dir), storage)
    if "arms" in record.config["space"] and record.ranked():
        from normsearch.confirmation.export import write_confirmation

        write_confirmation(record)  # the page shows it as it stands, also of a run under way
    show(str(analysis_module("report").write_report(record, output)))
