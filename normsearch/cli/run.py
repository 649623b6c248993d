"""`normsearch run`: start a study."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from normsearch.cli.options import (
    Checkpoints,
    Data,
    Execution,
    Json,
    Overrides,
    Where,
    known_studies,
)


def run(
    *,
    study: Annotated[
        str,
        typer.Argument(
            help="YAML file of a study, or a name of `list studies`.", autocompletion=known_studies
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The run's name (default: the study's).")] = None,
    data: Data = None,
    overrides: Overrides = None,
    where: Where,
    checkpoints: Checkpoints = None,
    execution: Execution,
    as_json: Json = False,
) -> None:
    """Run a study until `search.trials` trials are finished.

    Example: normsearch run quickstart --workers 2 --set search.race=0.25
    """
    from normsearch.cli.running import tell_end, training
    from normsearch.study import Study

    overrides = [*(overrides or []), *([f"name={json.dumps(name)}"] if name is not None else [])]
    overrides += [f"search.checkpoints={checkpoints}"] if checkpoints else []
    found = Study.load(study, overrides, data=data, runs_dir=where.runs_dir, storage=where.storage)
    with training(found, execution) as how:
        found.run(**how)
    tell_end(found, as_json)
