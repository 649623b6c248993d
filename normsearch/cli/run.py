"""`normsearch run`: begin a study."""

from __future__ import annotations

import json
from dataclasses import replace
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
    from normsearch.cli.launch import How, check, resumable, search
    from normsearch.config.reading import read_study
    from normsearch.errors import StudyError
    from normsearch.search.checks import check_reachable, discard_unbegun, with_initial_trials
    from normsearch.storage.run_folder import create_run, refuse_existing

    overrides = [*(overrides or []), *([f"name={json.dumps(name)}"] if name is not None else [])]
    overrides += [f"search.checkpoints={checkpoints}"] if checkpoints else []
    config, space_origin = read_study(study, overrides)
    folder = runs_dir / config.name
    refuse_existing(folder)
    door = check(config, space_origin, data, study, trusted=True)
    known = with_initial_trials(door.config.search, door.space, runs_dir)
    door = replace(door, config=door.config.model_copy(update={"search": known}))
    facts = {"data": str(door.data) if door.data else None, "storage": storage}
    check_reachable(door.config, storage)
    create_run(folder, door.config, facts)
    try:
        with resumable(config.name):
            search(folder, door, How(address, workers, local, as_json, storage))
    except StudyError:  # such as a cluster that does not answer: no trial may have started
        discard_unbegun(door.config, folder, storage)
        raise
