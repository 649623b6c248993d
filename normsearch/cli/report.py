"""`normsearch report`: a run, or all findings, in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Name, Where
from normsearch.cli.terminal import show


def report(
    *,
    name: Name = "",
    findings: Annotated[
        bool, typer.Option("--findings", help="Report the published statements instead of a run.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="HTML file (default: RUN/report/, or findings.html)."),
    ] = None,
    where: Where,
) -> None:
    """Write the figures, tables and record of a run to one self-contained HTML file.

    With --findings: every published statement that was tested, with its verdict and picture.

    Example: normsearch report quickstart -o quickstart.html
    """
    if findings == bool(name):
        raise typer.BadParameter("give either the name of a run or --findings.", param_hint="NAME")
    if not findings:
        show(str(where.open(name).report(output)))
        return
    from normsearch.findings.evidence import write_evidence

    path = output or Path("findings.html")
    write_evidence(path)
    show(str(path))
