"""Options that several verbs share."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from normsearch import limits
from normsearch.errors import StudyError

_ANSWER_S = 5.0


def _answering(address: str | None) -> str | None:
    """Refuse a machine and port where nothing listens; Ray itself asks for two minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
        except (OSError, OverflowError) as error:
            raise StudyError(
                f"--address {address}: must be a running Ray cluster, and nothing answers there "
                f"({error}); start one with `ray start --head`."
            ) from error
    return address


RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="NORMSEARCH_RUNS", help="Where runs are kept.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="NORMSEARCH_DATA", help="The folder that holds the data sets."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="Optuna storage URL instead of the run's journal file."),
]
Checkpoints = Annotated[
    str | None,
    typer.Option("--checkpoints", help="URL for checkpoints where workers share no run folder."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="A running Ray cluster to join, such as auto.", callback=_answering
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=limits.WORKERS, help="Trials at once (default: as many as fit)."
    ),
]
Local = Annotated[
    bool, typer.Option("--local", help="Train in this process, one trial after another, no Ray.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, such as search.trials=20.")
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run the code outside of normsearch that its files name."),
]
AcceptChangedNetwork = Annotated[
    bool,
    typer.Option("--accept-changed-network", help="The network's code was changed on purpose."),
]
Name = Annotated[str, typer.Argument(help="A run's name, or its folder.", show_default=False)]

RUNS = Path("runs")
