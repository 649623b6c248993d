"""What the verbs that train share: how they are interrupted, and what they say at their end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from normsearch.cli.progress import Progress
from normsearch.cli.terminal import say, show

if TYPE_CHECKING:
    from normsearch.study import Study


@contextmanager
def resumable(name: str, command: str | None = None) -> Iterator[None]:
    """Turn Ctrl-C into exit code 130, SIGTERM into 143, and say how to resume: by `command`."""
    from normsearch.search.signals import Terminated

    try:
        yield
    except KeyboardInterrupt as end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # settled: a second one stops nothing
        terminated = isinstance(end, Terminated)
        word = "Terminated" if terminated else "Interrupted"
        command = command or f"normsearch resume {name}"
        say(f"{word}; nothing is lost. Go on with: {command}")
        raise typer.Exit(143 if terminated else 130) from None


@contextmanager
def progress(study: Study) -> Iterator[Progress]:
    """Show how the trials of a study go."""
    if study.config.task.validation == "training":
        say("Overfit check: scores are of the training cases and prove nothing.")
    with Progress(study.config) as shown:
        yield shown


@contextmanager
def training(
    study: Study,
    workers: int | None,
    local: bool,
    address: str | None,
    *,
    command: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Give the arguments by which `Study.run` and its kin train as the options say.

    How the trials go is shown, and after an interruption by which `command` they are resumed.
    """
    with resumable(study.name, command), progress(study) as shown:
        yield {
            "workers": workers,
            "executor": "local" if local else "ray",
            "address": address,
            "callbacks": [shown],
        }


def tell_end(study: Study, as_json: bool) -> None:
    """Say why a search ended, and what it found."""
    if study.stopped:
        say(f"Stopped; nothing is lost. Go on with: normsearch resume {study.name}")
    if study.exhausted:
        say(
            f"The space is exhausted: it holds no further configuration, so the search ended "
            f"before {study.config.search.trials} trials."
        )
    if study.has_arms:
        tell_comparison(study, as_json)
        return
    found = study.best
    if as_json:
        print(json.dumps(found))
    elif found is None:
        show(f"No trial of {study.name} was completed; see normsearch status {study.name}")
    else:
        single = found["best_single_norm"]
        lower = ", lower is better" if found["direction"] == "minimize" else ""
        show(f"Best validation {study.record.metric} {_setting(found)}{lower}.")
        if single and single["number"] != found["number"]:
            show(f"Best single norm: {single['norm']}, {_setting(single)}.")
        show(f"See: normsearch best {study.name}; normsearch report {study.name}")


def tell_comparison(study: Study, as_json: bool) -> None:
    """Write what a study of arms shows into its folder, and print it."""
    from normsearch.cli.confirmed import show as show_comparison
    from normsearch.confirmation.export import plain

    found = study.comparison()
    if as_json:
        print(json.dumps(plain(found)))
    else:
        show_comparison(found)


def _setting(found: dict[str, Any]) -> str:
    return (
        f"{found['score']:.3f} (trial {found['number']}, learning rate "
        f"{found['learning_rate']:.3g}, batch size {found['batch_size']})"
    )
