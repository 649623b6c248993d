"""Record a table behind `normsearch.benchmark.table`: 1,296 real trainings with one seed.

    python -m tests.benchmarks.record_table record FOLDER --data-set hippocampus --seed 1
    python -m tests.benchmarks.record_table pack FOLDER/hippocampus_seed1.jsonl PACKED

`record` appends one line of JSON a training to FOLDER/DATA-SET_seedSEED.jsonl and resumes after the
last whole line there, so it may be killed at any time; it says how long the rest will take. Ranges
(`--first`, `--last`) have files of their own and may run side by side. `pack` writes the file that
the package ships (in normsearch/benchmark) to the folder PACKED; the order of recording leaves no
trace in it. That order is shuffled: an unfinished recording is a random sample.
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
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normsearch.benchmark.setup import NETWORK, SETUPS, Setup
from normsearch.benchmark.table import NORMS, STAGES, Table, file_name, save_table
from normsearch.data import SampleLoader, Split
from normsearch.errors import DataError, TrainingError
from normsearch.networks import NormSlot, apply_norm_map, list_norms
from normsearch.training import train
from normsearch.trials.trial_network import build_trial_network

SHOWN = 25  # trainings between two lines of progress


def combinations() -> list[tuple[str, ...]]:
    """Return every configuration, one norm a stage, in an order that is shuffled but fixed."""
    found = list(itertools.product(NORMS, repeat=len(STAGES)))
    random.Random(0).shuffle(found)
    return found


def train_one(
    setup: Setup, norm_of: Callable[[NormSlot], str], split: Split, seed: int
) -> dict[str, Any]:
    """Return score (Dice) and CPU seconds at each evaluation point of one training."""
    started = time.process_time()
    network = build_trial_network(NETWORK.model_copy(update={"seed": seed}), 1)
    apply_norm_map(network, {slot.name: norm_of(slot) for slot in list_norms(network)})
    validation = {case.id: setup.thinned(case) for case in split.validation}
    loader = SampleLoader(split.train, setup.batch_size, seed)
    score, seconds, failure = [], [], None
    try:
        for evaluation in train(network, loader, validation, setup.plan):
            score.append(round(evaluation.score, 4))
            seconds.append(round(time.process_time() - started, 3))
    except TrainingError as error:
        failure = error.kind
    return {"score": score, "seconds": seconds, "fail": failure}


def by_stage(norms: Sequence[str]) -> Callable[[NormSlot], str]:
    """Return the norm of a slot by its stage."""
    chosen = dict(zip(STAGES, norms, strict=True))
    return lambda slot: chosen[slot.stage]


def provenance(data_set: str, seed: int) -> dict[str, Any]:
    """Return what is recorded, with what, and when."""
    setup = SETUPS[data_set]
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    versions["python"] = platform.python_version()
    return {
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
        **setup.notes,
        "network": f"unet2d, {NETWORK.first_channels} first channels, depth {NETWORK.depth}",
        "batch_size": setup.batch_size,
        "seconds": "CPU time of one thread, from building the network on, validation included",
        **dataclasses.asdict(setup.plan),
        "data_set": data_set,
        "seed": seed,
    }


def record(
    path: Path,
    wanted: Sequence[tuple[Any, ...]],
    about: dict[str, Any],
    train_choice: Callable[[tuple[Any, ...]], dict[str, Any]],
    field: str = "norms",
) -> None:
    """Train those of `wanted` that `path` does not hold yet, and append a line for each.

    Args:
        path: the recording.
        wanted: what is to be trained, such as norms by stage.
        about: provenance, which each line carries; a resumed recording may differ in the date.
        train_choice: returns the line of one training, without what was trained.
        field: of a line, for what was trained.

    Raises:
        DataError: `path` was recorded in other settings or with other versions.
    """
    if path.exists():  # a line that was cut off by a kill
        whole = path.read_bytes().rpartition(b"\n")[0]
        path.write_bytes(whole + b"\n" if whole else b"")
    done = {tuple(line[field]) for line in lines([path], about)} if path.exists() else set()
    left = [choice for choice in wanted if choice not in done]
    began = time.monotonic()
    with path.open("a", encoding="utf-8") as file:
        for count, choice in enumerate(left, start=1):
            line = {field: list(choice), **train_choice(choice), "about": about}
            file.write(json.dumps(line) + "\n")
            file.flush()
            if count % SHOWN == 1 or count == len(left):
                hours = (time.monotonic() - began) / count * (len(left) - count) / 3600
                whole_count = len(done) + count
                print(
                    f"{path.name}: {whole_count} of {len(wanted)}, {hours:.2f} h left", flush=True
                )


def lines(paths: Sequence[Path], about: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of recordings.

    Raises:
        DataError: a file is not there, a line is broken, or its provenance differs, but for the
            date, from `about` or the first line's.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: must be a recording, and there is none; run `record` first")
        # What follows the last line break was cut off by a kill.
        for number, text in enumerate(path.read_text("utf-8").split("\n")[:-1], start=1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}: line {number} must be the JSON of a training, got {text[:40]!r}; "
                    "delete that line and run `record` again"
                ) from error
            about = about or line["about"]
            for key, value in about.items():
                # By way of JSON, for which a tuple is a list.
                if key != "recorded" and line["about"].get(key) != json.loads(json.dumps(value)):
                    raise DataError(
                        f"{path}: {key} must be {value}, as in the other trainings, got "
                        f"{line['about'].get(key)}; record into another folder"
                    )
            yield line


def pack(paths: Sequence[Path]) -> Table:
    """Return the table of recordings, rows in the order of the product of the norms.

    Raises:
        DataError: a recording is broken, settings differ, or a training is missing.
    """
    found = {tuple(line["norms"]): line for line in lines(paths)}
    choices = tuple(itertools.product(NORMS, repeat=len(STAGES)))
    if missing := [choice for choice in choices if choice not in found]:
        names = ", ".join(path.name for path in paths)
        raise DataError(
            f"{names}: must hold all {len(choices)} trainings, {len(missing)} are missing, such as "
            f"{' '.join(missing[0])}; run `record` again with the same arguments"
        )
    about = found[choices[0]]["about"]
    points = about["evaluations"]
    about["recorded"] = max(line["about"]["recorded"] for line in found.values())

    def curves(name: str) -> np.ndarray:
        filled = [found[choice][name] + [np.nan] * points for choice in choices]
        return np.array([curve[:points] for curve in filled])[None]

    batch, plan = about["batch_size"], SETUPS[about["data_set"]].plan
    targets = (plan.target(point) for point in range(1, points + 1))
    samples = tuple(math.ceil(target / batch) * batch for target in targets)
    return Table(choices, curves("score"), curves("seconds"), samples, (about["seed"],), about)


def run(given: argparse.Namespace) -> None:
    """Do what the command line says."""
    if given.action == "pack":
        table = pack(given.recordings)
        name = file_name(table.provenance["data_set"], table.seeds[0])
        save_table(table, given.folder / name)
        print(f"wrote {given.folder / name}")
        return
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False  # at this size its set-up costs more than the kernels
    setup = SETUPS[given.data_set]
    split = setup.load_split(given.data)
    given.folder.mkdir(parents=True, exist_ok=True)
    every = (0, len(NORMS) ** len(STAGES))
    part = "" if (given.first, given.last) == every else f"_{given.first:04d}-{given.last:04d}"
    record(
        given.folder / f"{given.data_set}_seed{given.seed}{part}.jsonl",
        combinations()[given.first : given.last],
        provenance(given.data_set, given.seed),
        lambda norms: train_one(setup, by_stage(norms), split, given.seed),
    )


def arguments(
    description: str, trainings: int
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parser of a command that records and packs, and that of `record`."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    recorder = actions.add_parser("record")
    recorder.add_argument("folder", type=Path)
    recorder.add_argument("--first", type=int, default=0)
    recorder.add_argument("--last", type=int, default=trainings)
    recorder.add_argument("--data", type=Path, default=os.environ.get("NORMSEARCH_DATA"))
    packer = actions.add_parser("pack")
    packer.add_argument("recordings", type=Path, nargs="+")
    packer.add_argument("folder", type=Path)
    return parser, recorder


def obey(run: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> int:
    """Read the command line and run it; return the exit code."""
    try:
        run(parser.parse_args())
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Read the command line."""
    parser, recorder = arguments(__doc__, len(NORMS) ** len(STAGES))
    recorder.add_argument("--data-set", choices=list(SETUPS), default="sunnybrook")
    recorder.add_argument("--seed", type=int, default=0)
    return obey(run, parser)


if __name__ == "__main__":
    sys.exit(main())
