"""Shared parts of the commands that train: interruption, progress, and the final summary."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from normsearch.cli.options import Execution, runs_folder
from normsearch.cli.progress import Progress
from normsearch.cli.terminal import WEIGHED, said_of_trainings, say, show, untrained

if TYPE_CHECKING:
    from normsearch.storage.records import StudyRecord
    from normsearch.study import Study


@contextmanager
def resumable(study: Study, command: str | None = None) -> Iterator[None]:
    """Turn Ctrl-C into exit code 130, SIGTERM into 143, and say which `command` resumes."""
    from normsearch.search.signals import Terminated

    try:
        yield
    except KeyboardInterrupt as end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is saved: ignore a second one
        terminated = isinstance(end, Terminated)
        word = "Terminated" if terminated else "Interrupted"
        command = command or f"normsearch resume {reference(study)}"
        say(f"{word}; nothing is lost. Resume with: {command}")
        raise typer.Exit(143 if terminated else 130) from None


@contextmanager
def progress(study: Study) -> Iterator[Progress]:
    """Show the progress of a study's trials."""
    if study.config.task.validation == "training":
        say("Overfit check: scores are of the training cases and say nothing about new ones.")
    with Progress(study.config) as shown:
        yield shown


@contextmanager
def training(
    study: Study, execution: Execution, *, command: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `Study.run` or `Study.resume` for the options.

    Progress is shown, and after an interruption the `command` that resumes.
    """
    with resumable(study, command), progress(study) as shown:
        yield {**execution.arguments(), "callbacks": [shown]}


def tell_finished(study: Study) -> None:
    """Say that a run is over as it is, so that nothing is trained."""
    say(f"{study.name}: nothing is trained, as it is finished; this is its result.")


def tell_end(study: Study, as_json: bool) -> None:
    """Print why a study ended, its result, and the next commands."""
    from normsearch.search.outcome import none_eligible

    name = reference(study)
    if study.stopped:
        say(f"Stopped; nothing is lost. Resume with: normsearch resume {name}")
    if study.exhausted:
        trials = study.config.search.trials
        most = "its budget was spent" if trials is None else f"{trials} trials"
        say(
            f"The space is exhausted: it holds no further configuration, so the search ended "
            f"before {most}."
        )
    if study.has_arms:
        tell_comparison(study, as_json)
        return
    found = study.best
    if as_json:
        print(json.dumps(found))
    elif found is None:
        told = none_eligible(study.record) or "no trial was completed"
        show(f"{study.name}: {told}; see normsearch status {name}")
    else:
        _tell_best(found, study.config.metric)
        _show_next(
            {
                f"best {name}": "its norm of each slot, and each single norm at its best",
                **_confirming(study, name),
                f"report {name}": "figures, tables and the record in one HTML file",
                **_exporting(study, f"{name} -o model", "the trained network"),
            }
        )


def _tell_best(found: dict[str, Any], metric: str) -> None:
    """Print the best configuration, the best single norm, and which ones were not trained."""
    single, lower = found["best_single_norm"], found["direction"] == "minimize"
    show(f"Best validation {metric} {_setting(found)}{', lower is better' * lower}.")
    if single and single["number"] != found["number"]:
        show(f"Best single norm: {single['norm']}, {_setting(single)}.")
        if (found["score"] > single["score"]) if lower else (found["score"] < single["score"]):
            show(f"The single norm's score is better, but {WEIGHED}.")
    elif single:
        mixtures = "was better" if found["mixtures"] else "was tried"
        show(f"It has {single['norm']} in every slot; no mixture of norms {mixtures}.")
    if found["untrained"]:
        show(f"{untrained(found)} Allow the search more to compare them.")


def tell_comparison(study: Study, as_json: bool) -> None:
    """Write the comparison of a study's arms to its folder; print it, and the next commands."""
    from normsearch.cli.confirmed import show as show_comparison
    from normsearch.confirmation.export import plain

    found = study.comparison()
    if as_json:
        print(json.dumps(plain(found)))
    else:
        show_comparison(found)
        name = reference(study)
        _show_next(
            {
                f"report {name}": "figures, tables and the record in one HTML file",
                **_exporting(study, f"{name} -o model --trial N", "one of its trained networks"),
            }
        )


def _confirming(study: Study, name: str) -> dict[str, str]:
    """Return the command that confirms a search, if it held out test subjects."""
    if not (study.config.task.test_folds or study.config.trainer):
        return {}
    return {f"confirm {name}": "train the best again with several seeds, and test them"}


def _exporting(study: Study, arguments: str, what: str) -> dict[str, str]:
    """Return the command that exports a network, if normsearch itself trained one."""
    if study.config.trainer:
        return {}
    return {f"export {arguments}": f"{what}, for normsearch predict"}


def _show_next(commands: dict[str, str]) -> None:
    width = max(map(len, commands))
    show("Next:")
    for command, purpose in commands.items():
        show(f"  normsearch {command:<{width}}  # {purpose}")


def reference(study: Study | StudyRecord) -> str:
    """Return a run\'s name for commands, or its folder if it is not in the default folder."""
    if study.folder == runs_folder() / study.name:
        return study.name
    return shlex.quote(str(study.folder))


def _setting(found: dict[str, Any]) -> str:
    seeds = said_of_trainings(found.get("trainings", []))
    return (
        f"{found['score']:.3f} ({seeds}{'; ' * bool(seeds)}trial {found['number']}, learning rate "
        f"{found['learning_rate']:.3g}, batch size {found['batch_size']})"
    )
