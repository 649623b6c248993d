"""`normsearch resume`: go on with a study after any end, also with more trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import (
    RUNS,
    Address,
    Data,
    Json,
    Local,
    Name,
    RunsDir,
    Storage,
    Workers,
)


def resume(
    name: Name,
    trials: Annotated[
        int | None, typer.Option(min=1, help="New total of trials (default: as first asked for).")
    ] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    workers: Workers = None,
    local: Local = False,
    address: Address = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Go on with a run: interrupted trials are finished first, from their checkpoints."""
    from normsearch.cli.launch import How, check, resumable, search
    from normsearch.config_file import read_recorded_study
    from normsearch.search.run_folder import find_run, read_local, write_local, write_study

    folder = find_run(name, runs_dir)
    config, local_facts = read_recorded_study(folder), read_local(folder)
    if trials:
        wanted = config.search.model_copy(update={"trials": trials})
        config = config.model_copy(update={"search": wanted})
    if data is None and local_facts.get("data"):
        data = Path(local_facts["data"])
    storage = storage or local_facts.get("storage")
    with resumable(name):
        door = check(config, f"{folder / 'study.yaml'}: space.", data, name)
        write_study(folder, door.config)
        write_local(folder, {"data": str(door.data) if door.data else None, "storage": storage})
        search(folder, door, How(address, workers, local, as_json, storage))
