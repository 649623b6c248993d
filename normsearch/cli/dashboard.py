"""`normsearch dashboard`: optuna-dashboard on the storage of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from normsearch.cli.options import Name, Where


def dashboard(
    *,
    name: Name,
    host: Annotated[
        str, typer.Option(help="Address to serve on; the default is this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve.")] = 8080,
    where: Where,
) -> None:
    """Serve optuna-dashboard on a run's storage until Ctrl-C (needs the extra `dashboard`).

    Example: normsearch dashboard quickstart --port 8081
    """
    from normsearch.search.dashboard import serve
    from normsearch.storage.run_folder import find_run

    serve(find_run(name, where.runs_dir), where.storage, host, port)
