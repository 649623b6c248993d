"""The command line: one verb a file, one sentence for a user's mistake."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer

import normsearch
from normsearch.cli import (
    best,
    confirm,
    dashboard,
    export,
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
from normsearch.cli.terminal import say
from normsearch.errors import NormsearchError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find by search which normalization each layer of a segmentation network should use.",
)
for verb in (run.run, resume.resume, status.status, best.best, train.train, plot.plot):
    app.command()(verb)
app.command()(confirm.confirm)
app.command()(report.report)
app.command()(reproduce.reproduce)
app.command()(stop.stop)
app.command()(dashboard.dashboard)
app.command()(validate.validate)
app.command()(export.export)
app.command()(predict.predict)
app.command("list")(listing.listing)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"normsearch {normsearch.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"normsearch: warning: {message}")


def main() -> None:
    """Run the command line; exit 1 for a user's mistake or failed data, 2 for wrong usage."""
    warnings.showwarning = _warn
    try:
        app()
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
