"""Options that several commands share, single and in groups."""

from __future__ import annotations

import functools
import inspect
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from normsearch import limits
from normsearch.errors import StudyError

if TYPE_CHECKING:
    from normsearch.study import Study

RUNS = Path("runs")
_ANSWER_S = 5.0


def _reachable(address: str | None) -> str | None:
    """Raise StudyError if nothing listens at the address; Ray itself tries for two minutes."""
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


def runs_folder() -> Path:
    """Return the default of --runs-dir: NORMSEARCH_RUNS, else ``runs``."""
    return Path(os.environ.get("NORMSEARCH_RUNS") or RUNS)


def _known_runs(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of runs in --runs-dir for completion in a shell."""
    runs = Path(context.params.get("runs_dir") or runs_folder())
    names = sorted(path.parent.name for path in runs.glob("*/study.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def known_studies(incomplete: str) -> list[str]:
    """Return the names of shipped studies for completion in a shell."""
    from normsearch.files import shipped

    names = sorted(path.stem for path in shipped("studies").glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def known_findings(incomplete: str) -> list[str]:
    """Return the keys of published statements for completion in a shell."""
    from normsearch.findings.page import all_findings

    return [key for key in ("all", *all_findings()) if key.startswith(incomplete)]


_RUN = typer.Argument(
    help="Name or folder of a run.", show_default=False, autocompletion=_known_runs
)
Name = Annotated[str, _RUN]
OptionalName = Annotated[str | None, _RUN]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="NORMSEARCH_RUNS", help="The folder of all runs.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="NORMSEARCH_DATA", help="The folder that holds the data sets."),
]
Checkpoints = Annotated[
    str | None,
    typer.Option("--checkpoints", help="URL for checkpoints if workers do not share run folders."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, such as search.trials=20.")
]


@dataclass(frozen=True)
class Where:
    """Options of the storage of a run."""

    runs_dir: RunsDir = RUNS
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="Optuna storage URL instead of the run's journal file."),
    ] = None

    def open(self, name: str, trust: Trust | None = None, data: Path | None = None) -> Study:
        """Open an existing run; see `normsearch.open_study`."""
        from normsearch.study import open_study

        trust = trust or Trust()
        return open_study(
            name,
            data=data,
            runs_dir=self.runs_dir,
            storage=self.storage,
            trust_code=trust.trust_code,
            accept_changed_network=trust.accept_changed_network,
        )


@dataclass(frozen=True)
class Trust:
    """Options that allow code from outside of normsearch, and changed code."""

    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code", help="Run code outside of normsearch that the run or model names."
        ),
    ] = False
    accept_changed_network: Annotated[
        bool,
        typer.Option(
            "--accept-changed-network", help="Accept that the network's code has changed."
        ),
    ] = False


@dataclass(frozen=True)
class Execution:
    """Options of the training: where, and how many trials at once."""

    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=limits.WORKERS, help="Trials at once (default: as many as fit)."
        ),
    ] = None
    local: Annotated[
        bool,
        typer.Option("--local", help="Train in this process, one trial at a time, without Ray."),
    ] = False
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="A running Ray cluster to join, such as auto.",
            callback=_reachable,
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of `normsearch.Study.run`."""
        executor = "local" if self.local else "ray"
        return {"workers": self.workers, "executor": executor, "address": self.address}


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer, with each field of a group as an option.

    Typer has no groups of options. So a command with the parameter ``where: Where`` gets the
    signature of one with the parameters ``runs_dir`` and ``storage``.
    """
    signature = inspect.signature(verb, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if is_dataclass(parameter.annotation):
            groups[name] = parameter.annotation
            parameters += _options_of(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def call(**given: Any) -> None:
        for name, group in groups.items():
            options = {field.name: given.pop(field.name) for field in fields(group)}
            given[name] = group(**options)
        verb(**given)

    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
