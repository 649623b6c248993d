"""`normsearch export`: a trained trial as a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import (
    RUNS,
    AcceptChangedNetwork,
    Json,
    Name,
    RunsDir,
    Storage,
    TrustCode,
)
from normsearch.cli.terminal import say, show


def export(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new or empty folder.", show_default=False)
    ],
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Its number (default: the best trial).")
    ] = None,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
    trust_code: TrustCode = False,
    accept_changed_network: AcceptChangedNetwork = False,
    as_json: Json = False,
) -> None:
    """Write weights, norm map, a card that is also the loading code, and the network as a graph."""
    from normsearch.study import open_study

    study = open_study(
        name,
        runs_dir=runs_dir,
        storage=storage,
        trust_code=trust_code,
        accept_changed_network=accept_changed_network,
    )
    number, files, no_program = study.export(output, trial)
    if no_program:
        say(f"normsearch: warning: no program.pt2: {no_program}")
    if as_json:
        print(json.dumps({"trial": number, "files": [str(file) for file in files]}))
    else:
        show(f"Trial {number} of {name}:")
        for file in files:
            show(f"  {file}")
        show(f"Masks for new images: normsearch predict {output} IMAGE...")
