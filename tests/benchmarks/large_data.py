"""Memory of a worker that trains patches of many large volumes, which lie in the cache.

30 volumes of 512 x 512 x 200 take 3 GB as files and 8 GB as prepared arrays. "Own memory" is
RssAnon of /proc/PID/status, the resident set without pages of files, read every 5 ms; the largest
value counts. One validation case of 5, two of 30.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Volume, write_volume
from normsearch.networks import list_norms
from normsearch.trials.task import load_task, split_task
from normsearch.trials.training import train_trial
from normsearch.trials.trial_network import build_trial_network

TITLE = "Own memory of a worker that trains patches, by the number of volumes"
SIDES, PATCH, NUMBERS = (200, 512, 512), (64, 64, 64), (5, 30)
_TILE = 100


def write_volumes(root: Path, number: int, sides: tuple[int, ...]) -> None:
    """Write int16 volumes of repeated noise, each with a brighter block as its label."""
    noise = np.random.default_rng(0).normal(0, 300, (_TILE,) * 3).astype(np.int16)
    times = [-(-side // _TILE) for side in sides]
    whole = np.tile(noise, times)[tuple(map(slice, sides))]
    label = np.zeros(sides, np.uint8)
    label[tuple(slice(side // 4, side // 2) for side in sides)] = 1
    for index in range(number):
        image = np.roll(whole, 7 * index, 2) + 1000 * label.astype(np.int16)
        for part, array in (("images", image), ("labels", label)):
            write_volume(root / part / f"v{index:02}.nii", Volume(array, (1.0, 1.0, 1.0)))


def task(data: Path, patch: tuple[int, ...] = PATCH) -> TaskConfig:
    """Return the task of patches; of about 15 volumes one is validated."""
    given = {"data": str(data), "sample": "patch", "size": patch, "validation_fraction": 0.07}
    return TaskConfig.model_validate(given)


@contextmanager
def peak(found: list[float]) -> Iterator[None]:
    """Append the largest own memory of this process during the block, in MiB."""
    ended, largest = threading.Event(), [own_memory()]

    def look() -> None:
        while not ended.wait(0.005):
            largest[0] = max(largest[0], own_memory())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        found.append(largest[0])


def own_memory() -> float:
    """Return RssAnon of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def prepare(data: Path, numbers: tuple[int, ...], patch: tuple[int, ...]) -> None:
    """Prepare the cases and print the peak; keep what Ray sends to a worker, by number of cases."""
    found = list[float]()
    with peak(found):
        cases = load_task(task(data, patch), None)
    for number in numbers:
        split = split_task(task(data, patch), cases[:number])
        (data.parent / f"{number}.pickle").write_bytes(pickle.dumps(split))
    print(found[0])


def work(data: Path, number: int, patch: tuple[int, ...], samples: int) -> None:
    """Train a trial as a worker of Ray does, and print its peak, the bytes it got and its score."""
    import normsearch.search.trainable  # noqa: F401 - what a worker imports, Ray too

    sent = (data.parent / f"{number}.pickle").read_bytes()
    network = NetworkConfig(name="res_unet3d", first_channels=2, depth=1)
    slots = list_norms(build_trial_network(network, 1))
    config = TrialConfig(
        study="s",
        number=0,
        task=task(data, patch),
        network=network,
        training=TrainingConfig(samples=samples, evaluations=1, statistics_samples=4),
        norm_map={slot.name: "GN-2" for slot in slots},
        learning_rate=0.01,
        batch_size=2,
        loader_workers=1,
        sample_shape=(1, *patch),
    )
    found = list[float]()
    with tempfile.TemporaryDirectory() as folder, peak(found):
        *_, last = train_trial(config, pickle.loads(sent), Path(folder))
    print(found[0], len(sent), last["score"], sep=",")


def measure(
    sides: tuple[int, ...] = SIDES,
    patch: tuple[int, ...] = PATCH,
    numbers: tuple[int, ...] = NUMBERS,
    samples: int = 24,
) -> pd.DataFrame:
    """Return a row for preparing all volumes, and one for a worker by their number."""
    rows = list[tuple[object, ...]]()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_volumes(data, max(numbers), sides)
        began = time.perf_counter()
        given = f"pathlib.Path({str(data)!r})"
        made = _run(f"prepare({given}, {numbers}, {patch})", folder)
        rows.append(("prepare", max(numbers), float(made), "", "", time.perf_counter() - began))
        for number in numbers:
            began = time.perf_counter()
            printed = _run(f"work({given}, {number}, {patch}, {samples})", folder)
            own, sent, score = map(float, printed.split(","))
            rows.append(("train", number, own, int(sent), score, time.perf_counter() - began))
    columns = ["process", "volumes", "own memory, MiB", "bytes sent", "score", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def _run(call: str, folder: str) -> str:
    code = f"import pathlib; from tests.benchmarks.large_data import *; {call}"
    environment = {**os.environ, "NORMSEARCH_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-2000:])
    return ran.stdout.splitlines()[-1]
