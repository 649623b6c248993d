"""What one driver can take: results a second, and how fast `status` is on a long study."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.config import Resources, TrialConfig
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local

from .framework import coordinator, nothing

TITLE = "One driver with a journal file: results a second, and status on 10,000 trials"
EVALUATIONS = 50
TRIALS = 10_000


def busy(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Yield many evaluations at once."""
    (record,) = nothing(config, data, folder, token)
    for evaluation in range(1, EVALUATIONS + 1):
        yield {**record, "evaluation": evaluation}


def _study(folder: Path, trials: int, times: list[float]) -> Coordinator:
    def listen(event: Event) -> None:
        if event.kind == "evaluated":
            times.append(time.perf_counter())

    made = coordinator(folder, trials, listener=listen)
    training = made.config.training.model_copy(
        update={"samples": EVALUATIONS, "evaluations": EVALUATIONS}
    )
    search = made.config.search.model_copy(
        update={"pruner": made.config.search.pruner.model_copy(update={"name": "none"})}
    )
    made.config = made.config.model_copy(update={"training": training, "search": search})
    return made


def results(executor: str, trials: int) -> None:
    """Print results a second of one driver, from the first result to the last."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        made = _study(Path(folder), trials, times)
        if executor == "local":
            run_local(made, None, busy)
        else:
            from normsearch.search.ray_executor import run_ray

            run_ray(made, None, busy, resources=Resources(), workers=2)
    print((len(times) - 1) / (times[-1] - times[0]))


def long_journal(folder: Path) -> None:
    """Write a run of `TRIALS` trials: one that was run, its journal lines again and again."""
    from normsearch.storage.journal import seal
    from normsearch.storage.run_folder import write_study

    made = coordinator(folder, 12)
    run_local(made, None, nothing)
    write_study(folder, made.config)
    path = folder / "journal.log"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in entries:
        del entry["crc"]
    last = max(entry.get("trial_id", 0) for entry in entries)
    create = [entry for entry in entries if entry["op_code"] == 4][-1]
    rest = [entry for entry in entries if entry.get("trial_id") == last]
    with path.open("ab") as file:
        for number in range(last + 1, TRIALS):
            file.write(seal({**create, "trials": number}))
            for entry in rest:
                file.write(seal({**entry, "trial_id": number, "trials": number + 1}))


def status() -> None:
    """Print the seconds `status` takes, without the start of Python and its imports."""
    from normsearch.cli.status import status_of
    from normsearch.storage.records import StudyRecord

    with tempfile.TemporaryDirectory() as folder:
        long_journal(Path(folder))
        started = time.perf_counter()
        found = status_of(StudyRecord(Path(folder), skim=True))
        print(time.perf_counter() - started)
    if found["states"]["COMPLETE"] != TRIALS:
        raise RuntimeError(str(found["states"]))


def measure() -> pd.DataFrame:
    """Return each figure with what it must reach, each measured in a process of its own."""
    rows = [
        ("results a second, no Ray", _in_process("results('local', 20)"), "at least 150"),
        ("results a second, Ray with two slots", _in_process("results('ray', 40)"), "at least 150"),
        (f"status on {TRIALS:,} trials (s)", _in_process("status()"), "at most 2"),
    ]
    return pd.DataFrame(rows, columns=["figure", "measured", "must be"]).round(2)


def _in_process(call: str) -> float:
    code = f"from tests.benchmarks import driver; driver.{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])
