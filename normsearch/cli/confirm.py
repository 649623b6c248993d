"""`normsearch confirm`: train the best of a search again, and test it on held-out subjects."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from normsearch import limits
from normsearch.cli.options import Data, Execution, Json, Name, Trust, Where
from normsearch.cli.terminal import say


def confirm(
    *,
    name: Name,
    top: Annotated[
        int | None,
        typer.Option(min=0, max=limits.TRIALS, help="Best mixtures to confirm (default: 3)."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=limits.SEEDS, help="Trainings of each (default: 5); the fixed design alone."
        ),
    ] = None,
    folds: Annotated[
        Literal["test", "all"] | None,
        typer.Option(help="The search's own test folds (default), or every fold in turn."),
    ] = None,
    design: Annotated[
        Literal["fixed", "looks"] | None,
        typer.Option(
            help="fixed: test once, at the end. looks (default from six arms on, without --seeds): "
            "judge after 2, 3, 5 and 8 seeds, and end arms that are decided or not worth pursuing."
        ),
    ] = None,
    trainings: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=limits.TRIALS,
            help="The most trainings (default: those that fit into the share search.confirm; any "
            "number without one, or with --seeds).",
        ),
    ] = None,
    data: Data = None,
    where: Where,
    execution: Execution,
    trust: Trust,
    as_json: Json = False,
) -> None:
    """Train the best mixtures and all single norms again, and compare them on test subjects.

    Every single norm is trained at its own best learning rate and batch size, the reference also at
    those of each mixture. The run is called NAME-confirm; the same command resumes it, or prints
    its result again.

    Example: normsearch confirm spine --top 3
    """
    from normsearch.cli.running import tell_comparison, tell_end, tell_finished, training

    found = where.open(name, trust, data).confirmation(
        top=top, seeds=seeds, folds=folds, design=design, trainings=trainings
    )
    if found.finished:
        if trainings is not None:
            tell_finished(found)
        tell_comparison(found, as_json)
        return
    for note in found.notes:
        say(note)
    with training(found, execution) as how:
        found.run(resume=True, **how)
    tell_end(found, as_json)
