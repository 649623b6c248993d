"""`normsearch stop`: stop every driver of a run at the next evaluation points of its trials."""

from __future__ import annotations

from normsearch.cli.options import RUNS, Name, RunsDir
from normsearch.cli.terminal import show


def stop(name: Name, runs_dir: RunsDir = RUNS) -> None:
    """Ask the drivers of a run on all machines to stop; `normsearch resume` continues it.

    Example: normsearch stop quickstart
    """
    from normsearch.storage.leases import Leases
    from normsearch.storage.run_folder import find_run

    asked = Leases(find_run(name, runs_dir) / "leases.log", glance=True).stop_all()
    if asked:
        drivers = "1 driver stops" if len(asked) == 1 else f"{len(asked)} drivers stop"
        show(f"{drivers} after the current evaluations. Resume with: normsearch resume {name}")
    else:
        show(f"No driver of {name} is running.")
