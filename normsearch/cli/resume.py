"""`normsearch resume`: go on with a study after any end, also with more trials."""

from __future__ import annotations

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
    from normsearch.cli.running import tell_end, training
    from normsearch.study import open_study

    found = open_study(
        name,
        data=data,
        runs_dir=runs_dir,
        storage=storage,
        trust_code=trust_code,
        accept_changed_network=accept_changed_network,
    )
    given = {"resources.cpu": cpu, "resources.gpu": gpu, "checkpoints": checkpoints}
    texts = [f"search.{key}={value}" for key, value in given.items() if value is not None]
    with training(found, workers, local, address, command=f"normsearch resume {name}") as how:
        found.resume(trials=trials, overrides=[*texts, *(overrides or [])], **how)
    tell_end(found, as_json)
