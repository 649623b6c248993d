"""`normsearch init`: propose a study for a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Data, Json
from normsearch.cli.terminal import show


def init(
    *,
    data_set: Annotated[
        Path,
        typer.Argument(help="A data set's folder, a manifest, or phantom.", show_default=False),
    ],
    data: Data = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the study (default: the data set's).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write (default: NAME.yaml).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file if it exists.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Time of a trial; the training samples are fit to it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a data set, and write a study for it, with a reason for each setting.

    Trains a few steps to tell how long a trial takes on this machine.

    Example: normsearch init hearts --data /data
    """
    from normsearch.trials.new_study import init_study

    found = init_study(data_set, data=data, name=name, output=output, force=force, minutes=minutes)
    if as_json:
        facts = {"file": str(found.path), "study": found.config.name, "minutes": found.minutes}
        print(json.dumps({**facts, "trials": found.config.search.trials}))
        return
    below = f" --data {data}" if data else ""
    show(f"{found.path}: {found.cost}")
    show(f"Read its comments, then: normsearch run {found.path}{below}")
