"""Record the table behind `normsearch.benchmark.table`: 1,296 real trainings on sunnybrook.

    python -m tests.benchmarks.record_table record FOLDER [--first 0] [--last 1296]
    python -m tests.benchmarks.record_table pack FOLDER/*.jsonl TABLE.csv.gz

`record` appends one line of JSON a training to FOLDER/FIRST-LAST.jsonl and goes on after the last
whole line there, so it may be killed at any time; ranges may run side by side. `pack` writes the
table that the package ships. The order is shuffled: an unfinished recording is a random sample.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import math
import os
import platform
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normsearch.benchmark.setup import BATCH_SIZE, NETWORK, PLAN, load_split, thinned
from normsearch.benchmark.table import NORMS, STAGES, Table, save_table
from normsearch.data import SampleLoader, Split
from normsearch.errors import TrainingError
from normsearch.networks import apply_norm_map, list_norms
from normsearch.training import train
from normsearch.trials.trial_network import build_trial_network

SETTINGS = {
    "data": "sunnybrook, fold 1 to train, every second subject of fold 2 to validate",
    "image": "64 x 64, of which the central 24 x 24; every third slice is validated",
    "network": f"unet2d, {NETWORK.first_channels} first channels, depth {NETWORK.depth}",
    "batch_size": BATCH_SIZE,
    "seconds": "CPU time of one thread, from building the network on, validation included",
    **dataclasses.asdict(PLAN),
    "seed": 0,
}


def combinations() -> list[tuple[str, ...]]:
    """Return every configuration, one norm a stage, in an order that is shuffled but fixed."""
    found = list(itertools.product(NORMS, repeat=len(STAGES)))
    random.Random(0).shuffle(found)
    return found


def train_one(norms: Sequence[str], split: Split, seed: int) -> dict[str, Any]:
    """Return score (Dice) and CPU seconds at each evaluation point of one training."""
    started = time.process_time()
    network = build_trial_network(NETWORK.model_copy(update={"seed": seed}), 1)
    chosen = dict(zip(STAGES, norms, strict=True))
    apply_norm_map(network, {slot.name: chosen[slot.stage] for slot in list_norms(network)})
    validation = {case.id: thinned(case) for case in split.validation}
    loader = SampleLoader(split.train, BATCH_SIZE, seed)
    score, seconds, failure = [], [], None
    try:
        for evaluation in train(network, loader, validation, PLAN):
            score.append(round(evaluation.score, 4))
            seconds.append(round(time.process_time() - started, 3))
    except TrainingError as error:
        failure = error.kind
    return {"norms": list(norms), "seed": seed, "score": score, "seconds": seconds, "fail": failure}


def record(path: Path, data: Path, first: int, last: int, seed: int) -> None:
    """Train the configurations `first` to `last` (not included) that `path` does not hold yet."""
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False  # at this size its set-up costs more than the kernels
    split = load_split(data)
    if path.exists():  # a line that was cut off by a kill
        whole = path.read_bytes().rpartition(b"\n")[0]
        path.write_bytes(whole + b"\n" if whole else b"")
    done = {tuple(line["norms"]) for line in _lines(path)} if path.exists() else set()
    with path.open("a", encoding="utf-8") as file:
        for norms in combinations()[first:last]:
            if norms not in done:
                file.write(json.dumps(train_one(norms, split, seed)) + "\n")
                file.flush()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def provenance() -> dict[str, Any]:
    """Return what the table was recorded from, with what, and when."""
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions["python"] = platform.python_version()
    return {"recorded": today, "versions": versions, **SETTINGS}


def pack(recordings: Sequence[Path]) -> Table:
    """Return the table of all `recordings`, rows in the order of the product of the norms.

    Raises:
        KeyError: a configuration was not recorded.
    """
    lines = {tuple(line["norms"]): line for path in recordings for line in _lines(path)}
    choices = tuple(itertools.product(NORMS, repeat=len(STAGES)))

    def curves(name: str) -> np.ndarray:
        filled = [lines[choice][name] + [np.nan] * PLAN.evaluations for choice in choices]
        return np.array([curve[: PLAN.evaluations] for curve in filled])

    samples = tuple(
        math.ceil(PLAN.target(point) / BATCH_SIZE) * BATCH_SIZE
        for point in range(1, PLAN.evaluations + 1)
    )
    return Table(choices, curves("score"), curves("seconds"), samples, provenance())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    recorder = actions.add_parser("record")
    recorder.add_argument("folder", type=Path)
    recorder.add_argument("--first", type=int, default=0)
    recorder.add_argument("--last", type=int, default=len(NORMS) ** len(STAGES))
    recorder.add_argument("--seed", type=int, default=0)
    recorder.add_argument("--data", type=Path, default=os.environ.get("NORMSEARCH_DATA"))
    packer = actions.add_parser("pack")
    packer.add_argument("recordings", type=Path, nargs="+")
    packer.add_argument("table", type=Path)
    given = parser.parse_args()
    if given.action == "pack":
        save_table(pack(given.recordings), given.table)
    else:
        given.folder.mkdir(parents=True, exist_ok=True)
        name = f"{given.first:04d}-{given.last:04d}-seed{given.seed}.jsonl"
        record(given.folder / name, given.data, given.first, given.last, given.seed)


if __name__ == "__main__":
    main()
