"""optuna-dashboard for the storage of a run."""

from __future__ import annotations

from pathlib import Path

from normsearch.errors import StudyError
from normsearch.storage.opening import open_storage
from normsearch.storage.run_folder import read_local


def serve(folder: Path, storage_url: str | None, host: str, port: int) -> None:
    """Serve the dashboard of the run in `folder` at http://HOST:PORT until interrupted.

    Raises:
        StudyError: optuna-dashboard is not installed, or storage or port cannot be opened.
    """
    try:
        import optuna_dashboard
    except ImportError as error:
        raise StudyError(
            "dashboard: needs optuna-dashboard, which is not installed; "
            "pip install 'normsearch[dashboard]'."
        ) from error
    storage = open_storage(folder, storage_url or read_local(folder).get("storage"))
    try:
        optuna_dashboard.run_server(storage, host=host, port=port)
    except OSError as error:
        raise StudyError(
            f"dashboard: {host}:{port} must be a free port of this machine ({error}); "
            "choose another with --port."
        ) from error
