"""The command line: one file for each command, one sentence for each error of the user."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer

import normsearch
from normsearch.cli import (
    best,
    cache,
    confirm,
    dashboard,
    export,
    init,
    listing,
    plot,
    predict,
    report,
    reproduce,
    resume,
    run,
    status,
    stop,
    train,
    validate,
)
from normsearch.cli.options import expanded, runs_folder
from normsearch.cli.run_table import show_runs
from normsearch.cli.terminal import say, show
from normsearch.errors import NormsearchError

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    *(run.run, resume.resume, status.status, best.best, train.train, plot.plot, confirm.confirm),
    *(report.report, reproduce.reproduce, stop.stop, dashboard.dashboard, validate.validate),
    *(export.export, predict.predict, init.init, cache.cache),
):
    app.command()(expanded(verb))
app.command("list")(expanded(listing.listing))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"normsearch {normsearch.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Find by search which normalization each layer of a segmentation network should use.

    Without a command, list the runs.

    Example: normsearch run quickstart --local
    """
    if context.invoked_subcommand is None:
        show_runs(runs_folder())
        show("All commands: normsearch --help")


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"normsearch: warning: {message}")


def main() -> None:
    """Run the command line; exit with 1 for an error of the user or in data, 2 for wrong usage."""
    warnings.showwarning = _warn
    try:
        app(prog_name="normsearch")
    except NormsearchError as error:
        say(f"normsearch: {error}")
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        where, reason = error.filename, error.strerror or error
        say(f"normsearch: {where}: must be a path that can be used, got '{reason}'; choose another")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
