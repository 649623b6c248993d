"""`normsearch export`: write a trained trial to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Json, Name, Trust, Where
from normsearch.cli.terminal import say, show


def export(
    *,
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new or empty folder.", show_default=False)
    ],
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Its number (default: the best trial).")
    ] = None,
    where: Where,
    trust: Trust,
    as_json: Json = False,
) -> None:
    """Write a trained trial to a folder: weights, norm map, loading code, and the network's graph.

    Example: normsearch export quickstart -o model
    """
    number, files, no_program = where.open(name, trust).export(output, trial)
    if no_program:
        say(f"normsearch: warning: no program.pt2: {no_program}")
    if as_json:
        print(json.dumps({"trial": number, "files": [str(file) for file in files]}))
    else:
        show(f"Trial {number} of {name}:")
        for file in files:
            show(f"  {file}")
        show(f"Masks for new images: normsearch predict {output} IMAGE...")
