"""`normsearch plot`: one figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import RUNS, Name, RunsDir, Storage
from normsearch.cli.terminal import show


def plot(
    kind: Annotated[str, typer.Argument(help="Which figure, or module:name; `all` for every one.")],
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File; for `all` a folder (default: RUN/report)."),
    ] = None,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
) -> None:
    """Draw a figure of a run and print where it is."""
    from normsearch import analysis
    from normsearch.study import open_study

    study = open_study(name, runs_dir=runs_dir, storage=storage)
    every = kind == "all"
    figures = analysis.render_all(study.record) if every else {kind: study.plot(kind)}
    folder = output if output and every else study.folder / "report"
    for each, figure in figures.items():
        target = (None if every else output) or folder / f"{each.replace(':', '-')}.png"
        show(str(analysis.save(figure, target)))
