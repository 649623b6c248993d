"""`normsearch resume`: continue a run after any end, also with more trials."""

from __future__ import annotations

from typing import Annotated

import typer

from normsearch.cli.options import Checkpoints, Data, Execution, Json, Name, Trust, Where


def resume(
    *,
    name: Name,
    trials: Annotated[
        int | None, typer.Option(min=1, help="New total of trials (default: unchanged).")
    ] = None,
    cpu: Annotated[int | None, typer.Option(min=1, help="New number of CPU cores a trial.")] = None,
    gpu: Annotated[
        float | None, typer.Option(min=0, help="New number of GPUs a trial, also a fraction.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="search.key=value, a new value for the rest of the run."),
    ] = None,
    data: Data = None,
    where: Where,
    checkpoints: Checkpoints = None,
    execution: Execution,
    trust: Trust,
    as_json: Json = False,
) -> None:
    """Resume an interrupted run: first its unfinished trials, from their checkpoints.

    Example: normsearch resume quickstart --trials 40
    """
    from normsearch.cli.running import tell_end, tell_finished, training

    found = where.open(name, trust, data)
    given = {"resources.cpu": cpu, "resources.gpu": gpu, "checkpoints": checkpoints}
    texts = [f"search.{key}={value}" for key, value in given.items() if value is not None]
    texts += overrides or []
    over = trials is None and not texts and found.finished
    with training(found, execution) as how:
        found.resume(trials=trials, overrides=texts, **how)
    if over:
        tell_finished(found)
    tell_end(found, as_json)
