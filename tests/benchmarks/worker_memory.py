"""Resident memory of one worker after 1, 10 and 50 trials: it must not grow with their number."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from normsearch.config import TrialConfig
from normsearch.data import Case, Split
from normsearch.trials.training import train_trial

TITLE = "Resident memory of a worker by the number of trials it has run"
AFTER = (1, 10, 50)


def cases() -> Split:
    """Return four cases of eight 32 x 32 slices: a bright square on noise."""
    made = []
    for index in range(4):
        image = np.random.default_rng(index).normal(size=(8, 1, 32, 32)).astype(np.float32)
        label = np.zeros((8, 32, 32), np.uint8)
        label[:, 8:20, 10:24] = 1
        made.append(Case(f"c{index}", f"c{index}", "", image + label[:, None], label, (1, 1, 1)))
    return Split(train=tuple(made[:3]), validation=tuple(made[3:]), test=())


def weighing(
    config: TrialConfig, data: Split, folder: Path, token: str
) -> Iterator[dict[str, Any]]:
    """Train a small U-Net; each record also says which process it was and what it held."""
    for record in train_trial(config, data, folder, token):
        memory = psutil.Process().memory_info().rss
        yield {**record, "peak_memory": memory, "steps": os.getpid()}


def run(trials: int) -> None:
    """Print the worker's process id and resident bytes for each trial, in order."""
    from normsearch.config import Resources
    from normsearch.search.jobs import Event
    from normsearch.search.ray_executor import run_ray
    from tests.benchmarks.framework import coordinator

    def listen(event: Event) -> None:
        if event.kind == "evaluated":
            print(event.record["steps"], event.record["peak_memory"])

    with tempfile.TemporaryDirectory() as folder:
        study = coordinator(Path(folder), trials, listener=listen)
        run_ray(study, cases(), weighing, resources=Resources(), workers=1)


def measure() -> pd.DataFrame:
    """Return MiB after 1, 10 and 50 trials in one worker, and the growth since the tenth."""
    code = f"from tests.benchmarks import worker_memory; worker_memory.run({max(AFTER)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    if len({process for process, _ in rows}) != 1:
        raise RuntimeError("the trials ran in more than one worker")
    sizes = {trials: rows[trials - 1][1] / 2**20 for trials in AFTER}
    table = pd.DataFrame({"trials": list(sizes), "MiB": list(sizes.values())})
    table["growth a trial since the 10th (MiB)"] = [
        float("nan"),
        float("nan"),
        (sizes[50] - sizes[10]) / 40,
    ]
    return table.round(2)
