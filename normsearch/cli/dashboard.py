"""`normsearch dashboard`: optuna-dashboard on the storage of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from normsearch.cli.options import RUNS, Name, RunsDir, Storage


def dashboard(
    name: Name,
    host: Annotated[str, typer.Option(help="Who may look: this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve.")] = 8080,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
) -> None:
    """Serve optuna-dashboard on a run's storage until Ctrl-C (needs the extra `dashboard`)."""
    from normsearch.search.dashboard import serve
    from normsearch.storage.run_folder import find_run

    serve(find_run(name, runs_dir), storage, host, port)
