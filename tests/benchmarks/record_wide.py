"""Record the trainings behind `normsearch.benchmark.wide`: sunnybrook, norms by slot, rate, batch.

    python -m tests.benchmarks.record_wide record FOLDER --first 0 --last 500
    python -m tests.benchmarks.record_wide record FOLDER --near FOLDER/random_*.jsonl
    python -m tests.benchmarks.record_wide pack FOLDER/*.jsonl PACKED

The first 1,000 configurations are random. Then come 1,150 near the best of those: `--near` needs
the recordings of the first. Every fifth configuration is trained with three seeds. As
`record_table`, `record` resumes after a kill, and ranges may run side by side; `pack` takes what
there is, and so a part as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from normsearch.benchmark.setup import SETUPS, Setup
from normsearch.benchmark.table import NORMS
from normsearch.benchmark.wide import (
    BATCH_SIZES,
    LEARNING_RATES,
    WideTable,
    save_wide_table,
    slot_names,
)
from normsearch.data import Split
from normsearch.errors import DataError
from tests.benchmarks.record_table import (
    arguments,
    lines,
    obey,
    provenance,
    record,
    train_one,
)

PACKED = "sunnybrook_wide.csv.gz"

RANDOM, NEAR = 1000, 1150  # configurations
BEST = 40  # that are varied
SEEDS = 3  # of every fifth configuration
CHANGES = 3  # of a variation, at most
Configuration = tuple[Any, ...]  # norms by slot, learning rate, batch size


def random_configurations() -> list[Configuration]:
    """Return the random configurations, in a fixed order."""
    rng = np.random.default_rng(0)
    low, high = np.log(LEARNING_RATES)
    found = []
    for _ in range(RANDOM):
        norms = rng.choice(NORMS, len(slot_names())).tolist()
        rate = rounded(math.exp(rng.uniform(low, high)))
        found.append((*norms, rate, int(rng.choice(BATCH_SIZES))))
    return found


def near_configurations(best: Sequence[Configuration]) -> list[Configuration]:
    """Return variations of the best random configurations, in a fixed order."""
    rng = np.random.default_rng(1)
    return [_varied(best[rng.integers(len(best))], rng) for _ in range(NEAR)]


def best_of(recordings: Sequence[Path]) -> list[Configuration]:
    """Return the `BEST` recorded configurations by their mean final score.

    Raises:
        DataError: not all random configurations are recorded.
    """
    scores = defaultdict(list)
    for line in lines(recordings):
        final = 0.0 if line["fail"] else line["score"][-1]
        scores[tuple(line["choice"][:-1])].append(final)
    missing = set(random_configurations()) - set(scores)
    if missing:
        raise DataError(
            f"--near: must be the recordings of all {RANDOM} random configurations, {len(missing)} "
            "are missing; record them first"
        )
    return sorted(scores, key=lambda choice: (-np.mean(scores[choice]), choice))[:BEST]


def trainings(configurations: Sequence[Configuration], first: int, last: int) -> list[Any]:
    """Return what is trained of configurations `first` to `last`: each with a seed of its own."""
    return [
        (*configurations[number], number * SEEDS + again)
        for number in range(first, min(last, len(configurations)))
        for again in range(1 if number % 5 else SEEDS)
    ]


def train_wide(setup: Setup, choice: Configuration, split: Split) -> dict[str, Any]:
    """Return the line of one training, without what was trained."""
    *norms, rate, batch, seed = choice
    plan = dataclasses.replace(setup.plan, learning_rate=rate)
    own = dataclasses.replace(setup, plan=plan, batch_size=batch)
    chosen = dict(zip(slot_names(), norms, strict=True))
    return train_one(own, lambda slot: chosen[slot.name], split, seed)


def pack(recordings: Sequence[Path]) -> WideTable:
    """Return the table of recordings, in the order of their configurations and seeds.

    Raises:
        DataError: a recording is broken, or settings differ.
    """
    plan, rows, about = SETUPS["sunnybrook"].plan, [], {}
    points = range(1, plan.evaluations + 1)
    for path in recordings:
        origin = "near" if path.name.startswith("near") else "random"
        for line in lines([path], about.copy() or None):
            about = line["about"]
            names = [*slot_names(), "learning_rate", "batch_size", "seed"]
            row = dict(zip(names, line["choice"], strict=True)) | {"origin": origin}
            for name in ("score", "seconds"):
                curve = line[name] + [math.nan] * plan.evaluations
                row |= {f"{name}{point}": curve[point - 1] for point in points}
            rows.append(row)
    frame = pd.DataFrame(rows).sort_values(["origin", "seed"], ascending=[False, True])
    samples = tuple(math.ceil(plan.target(point)) for point in points)
    return WideTable(frame.reset_index(drop=True), samples, about)


def rounded(rate: float) -> float:
    """Return a learning rate with four digits."""
    return float(f"{rate:.4g}")


def _varied(choice: Configuration, rng: np.random.Generator) -> Configuration:
    *norms, rate, batch = choice
    low, high = LEARNING_RATES
    for place in rng.choice(len(norms) + 2, rng.integers(1, CHANGES + 1), replace=False):
        if place < len(norms):
            norms[place] = str(rng.choice([norm for norm in NORMS if norm != norms[place]]))
        elif place == len(norms):
            rate = rounded(float(np.clip(rate * math.exp(rng.normal(0, 0.5)), low, high)))
        else:
            batch = int(rng.choice([size for size in BATCH_SIZES if size != batch]))
    return (*norms, rate, batch)


def about_wide() -> dict[str, Any]:
    """Return the provenance of a recording."""
    found = provenance("sunnybrook", 0)
    for varied in ("seed", "batch_size", "learning_rate"):
        del found[varied]
    return found


def run(given: argparse.Namespace) -> None:
    """Do what the command line says."""
    if given.action == "pack":
        save_wide_table(pack(given.recordings), given.folder / PACKED)
        print(f"wrote {given.folder / PACKED}")
        return
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False  # at this size its set-up costs more than the kernels
    setup = SETUPS["sunnybrook"]
    wanted = near_configurations(best_of(given.near)) if given.near else random_configurations()
    split = setup.load_split(given.data)
    given.folder.mkdir(parents=True, exist_ok=True)
    name = f"{'near' if given.near else 'random'}_{given.first:04d}-{given.last:04d}.jsonl"
    record(
        given.folder / name,
        trainings(wanted, given.first, given.last),
        about_wide(),
        lambda choice: train_wide(setup, choice, split),
        "choice",
    )


def main() -> int:
    """Read the command line."""
    parser, recorder = arguments(__doc__, max(RANDOM, NEAR))
    recorder.add_argument("--near", type=Path, nargs="+", help="recordings of the random ones")
    return obey(run, parser)


if __name__ == "__main__":
    sys.exit(main())
