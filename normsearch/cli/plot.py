"""`normsearch plot`: one figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Name, Where
from normsearch.cli.terminal import say, show


def _kinds(incomplete: str) -> list[str]:
    """Return the names of figures for completion in a shell."""
    from normsearch.analysis import FIGURES

    return [kind for kind in ("all", *FIGURES) if kind.startswith(incomplete)]


def plot(
    *,
    kind: Annotated[
        str,
        typer.Argument(
            help="A name of `normsearch list figures`, module:name, or `all`.",
            autocompletion=_kinds,
        ),
    ],
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File; for `all` a folder (default: RUN/report)."),
    ] = None,
    where: Where,
) -> None:
    """Draw a figure of a run and print the path of its file.

    `all` draws every figure that the run's data allow, and names the others.

    Example: normsearch plot layer_preference quickstart -o preference.svg
    """
    from normsearch import analysis

    analysis.check_kind(kind, ("all", *analysis.FIGURES))
    study = where.open(name)
    every = kind == "all"
    figures = analysis.render_all(study.record) if every else {kind: study.plot(kind)}
    folder = output if output and every else study.folder / "report"
    for each, figure in figures.items():
        target = (None if every else output) or folder / f"{each.replace(':', '-')}.png"
        show(str(analysis.save(figure, target)))
    if skipped := [one for one in analysis.FIGURES if every and one not in figures]:
        one = f"`normsearch plot {skipped[0]} {name}`"
        say(f"Not drawn, as {name} has nothing for them: {', '.join(skipped)}; {one} says why.")
