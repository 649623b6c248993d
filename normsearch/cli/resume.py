"""`normsearch resume`: go on with a study after any end, also with more trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import (
    RUNS,
    AcceptChangedNetwork,
    Address,
    Checkpoints,
    Data,
    Json,
    Local,
    Name,
    RunsDir,
    Storage,
    TrustCode,
    Workers,
)


def resume(
    name: Name,
    trials: Annotated[
        int | None, typer.Option(min=1, help="New total of trials (default: as first asked for).")
    ] = None,
    cpu: Annotated[int | None, typer.Option(min=1, help="CPU cores a trial, from now on.")] = None,
    gpu: Annotated[
        float | None, typer.Option(min=0, help="GPUs a trial, also a fraction, from now on.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="search.key=value, from now on.")
    ] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    workers: Workers = None,
    local: Local = False,
    address: Address = None,
    storage: Storage = None,
    checkpoints: Checkpoints = None,
    trust_code: TrustCode = False,
    accept_changed_network: AcceptChangedNetwork = False,
    as_json: Json = False,
) -> None:
    """Go on with a run: interrupted trials are finished first, from their checkpoints."""
    from normsearch.cli.launch import How, check, resumable, search
    from normsearch.config.reading import amend_search, read_recorded_study
    from normsearch.search.checks import check_storage
    from normsearch.storage.run_folder import find_run, read_local, write_local, write_study

    folder = find_run(name, runs_dir)
    local_facts = read_local(folder)
    given = {
        "trials": trials,
        "resources.cpu": cpu,
        "resources.gpu": gpu,
        "checkpoints": checkpoints,
    }
    given_texts = [f"search.{key}={value}" for key, value in given.items() if value is not None]
    config = amend_search(read_recorded_study(folder), [*given_texts, *(overrides or [])])
    if data is None and local_facts.get("data"):
        data = Path(local_facts["data"])
    storage = storage or local_facts.get("storage")
    with resumable(name):
        door = check(
            config,
            f"{folder / 'study.yaml'}: space.",
            data,
            str(folder),
            trusted=trust_code,
            accept_changed=accept_changed_network,
        )
        check_storage(door.config, folder, storage, accept_changed=accept_changed_network)
        write_study(folder, door.config)
        write_local(folder, {"data": str(door.data) if door.data else None, "storage": storage})
        search(folder, door, How(address, workers, local, as_json, storage))
