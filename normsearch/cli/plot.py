"""`normsearch plot`: one figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import RUNS, Name, RunsDir, Storage
from normsearch.cli.terminal import show


def plot(
    kind: Annotated[str, typer.Argument(help="Which figure; `all` for every one.")],
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File; for `all` a folder (default: RUN/report)."),
    ] = None,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
) -> None:
    """Draw a figure of a run and print where it is."""
    from normsearch.cli.figures import analysis_module
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import find_run

    analysis = analysis_module()
    record = StudyRecord(find_run(name, runs_dir), storage)
    if kind == "all":
        figures = analysis.render_all(record)
    else:
        figures = {kind: analysis.render(kind, record)}
    folder = output if output and kind == "all" else record.folder / "report"
    for each, figure in figures.items():
        single = output if kind != "all" else None
        show(str(analysis.save(figure, single or folder / f"{each}.png")))
