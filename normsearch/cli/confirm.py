"""`normsearch confirm`: train the best of a search again, and test it on held-out subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from normsearch import limits
from normsearch.cli.options import Data, Execution, Json, Name, Trust, Where
from normsearch.cli.terminal import say

if TYPE_CHECKING:
    from normsearch.study import Study


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
    from normsearch.cli.running import tell_comparison, tell_end, training

    search = where.open(name, trust, data)
    found = search.confirmation(
        top=top, seeds=seeds, folds=folds, design=design, trainings=trainings
    )
    if found.finished:
        if trainings is not None:
            say(f"{found.name}: nothing is trained, as it is finished; this is its result.")
        tell_comparison(found, as_json)
        return
    if not found.begun:
        _tell_plan(search, found)
        if seeds is None and trainings is None:
            _tell_share(search, found)
    with training(found, execution) as how:
        found.run(resume=True, **how)
    tell_end(found, as_json)


def _tell_plan(search: Study, found: Study) -> None:
    """Say what a new confirmation will train."""
    from normsearch.storage.trial_states import finished

    record = search.record
    states, asked = record.trials()["state"], record.asked
    going = asked is None or finished(states) < asked
    if states.isin(["RUNNING", "WAITING"]).any() and going:
        of = "" if asked is None else f"of {asked} "
        say(
            f"normsearch: warning: {search.name} has finished {finished(states)} {of}trials; this "
            "confirms the best of them."
        )
    arms: Any = found.config.space
    about = (
        f"{found.name}: {len(arms.arms)} arms ({', '.join(arm.name for arm in arms.arms)}) x "
        f"{'up to ' if found.in_looks else ''}{len(arms.seeds)} seeds"
        f"{f' x {len(arms.folds)} folds' if arms.folds else ''}"
    )
    if found.in_looks:
        say(f"{about}, judged in looks; compared with {arms.reference}. {_cost(arms)}")
    else:
        say(f"{about}, {arms.size} trainings; compared with {arms.reference}")


def _tell_share(search: Study, found: Study) -> None:
    """Say what a confirmation leaves out to keep to its share of the search's budget."""
    from normsearch.confirmation.plan import share_of
    from normsearch.confirmation.plan_size import reductions

    if share := share_of(search.record, search.config):
        space: Any = found.config.space
        for told in reductions(space, share):
            say(f"{found.name}: {told}")


def _cost(arms: Any) -> str:
    """Return what a confirmation in looks will cost, also beside the fixed design."""
    from normsearch.confirmation.look_course import begun_course
    from normsearch.confirmation.look_progress import progress_sentences
    from normsearch.confirmation.plan_size import SEEDS

    fixed = len(arms.arms) * max(len(arms.folds), 1) * SEEDS
    told = " ".join(progress_sentences(begun_course(arms)))
    return f"{told} --design fixed trains {fixed}."
