"""A driver to be killed: real trainings of a tiny U-Net, every interval it begins on record.

``python -m tests.search.chaos FOLDER TRIALS [STORAGE ADDRESS]`` begins the study in FOLDER, or goes
on with it; with an address it joins that Ray cluster, with one trial at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from normsearch.config import Resources, StudyConfig, TrialConfig
from normsearch.data import Split
from normsearch.networks import build_network, list_norms
from normsearch.search.coordinator import Coordinator
from normsearch.search.ray_executor import run_ray
from normsearch.space.layered import Space
from normsearch.training import load_checkpoint
from normsearch.trials.training import train_trial
from tests.benchmarks.worker_memory import cases

EVALUATIONS = 6


def audited(config: TrialConfig, data: Split, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Train as `train_trial` does; FOLDER/begun gets a line for each interval when it begins."""
    saved = load_checkpoint(folder / "checkpoint.pt")
    replayed = len(saved["history"]) if saved else 0
    for number, record in enumerate(train_trial(config, data, folder, token), start=1):
        yield record
        if replayed <= number < EVALUATIONS:
            _begin(folder, number + 1)
            time.sleep(0.1)  # long enough to be killed in


def _begin(folder: Path, evaluation: int) -> None:
    with (folder / "begun").open("a") as file:
        file.write(f"{evaluation}\n")


def main(folder: Path, trials: int, storage: str | None, address: str | None) -> None:
    """Run or go on until `trials` trials are finished."""
    config = StudyConfig.model_validate(
        {
            "name": "chaos",
            "task": {"data": "none"},
            "network": {"first_channels": 4, "depth": 1},
            "training": {"samples": 24 * EVALUATIONS, "evaluations": EVALUATIONS},
            "space": {
                "norm": {"choices": ["BN", "IN", "SN"]},
                "learning_rate": {"low": 0.01, "high": 0.1},
                "batch_size": [2, 4],
            },
            "search": {"trials": trials},
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    slots = list_norms(build_network("unet2d", first_channels=4, depth=1))
    space = Space(config.space, slots, "chaos: ")
    coordinator = Coordinator(folder, config, space, storage_url=storage)
    run_ray(
        coordinator,
        cases(),
        audited,
        resources=Resources(),
        workers=1 if address else 2,
        address=address,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *(sys.argv[3:] or (None, None)))
