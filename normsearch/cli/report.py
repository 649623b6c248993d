"""`normsearch report`: a run in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Name, Where
from normsearch.cli.terminal import show


def report(
    *,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file (default: RUN/report/).")
    ] = None,
    where: Where,
) -> None:
    """Write the figures, tables and record of a run to one self-contained HTML file.

    Example: normsearch report quickstart -o quickstart.html
    """
    show(str(where.open(name).report(output)))
