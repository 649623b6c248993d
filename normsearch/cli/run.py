"""`normsearch run`: begin a study."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from normsearch.cli.options import (
    RUNS,
    Address,
    Checkpoints,
    Data,
    Json,
    Local,
    Overrides,
    RunsDir,
    Storage,
    Workers,
)


def run(
    study: Annotated[str, typer.Argument(help="A study's YAML file, or a shipped one's name.")],
    name: Annotated[str | None, typer.Option(help="The run's name (default: the study's).")] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    overrides: Overrides = None,
    workers: Workers = None,
    local: Local = False,
    address: Address = None,
    storage: Storage = None,
    checkpoints: Checkpoints = None,
    as_json: Json = False,
) -> None:
    """Search: train trials until as many as the study asks for are finished."""
    from normsearch.cli.running import tell_end, training
    from normsearch.study import Study

    overrides = [*(overrides or []), *([f"name={json.dumps(name)}"] if name is not None else [])]
    overrides += [f"search.checkpoints={checkpoints}"] if checkpoints else []
    found = Study.load(study, overrides, data=data, runs_dir=runs_dir, storage=storage)
    with training(found, workers, local, address) as how:
        found.run(**how)
    tell_end(found, as_json)
