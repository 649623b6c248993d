"""A driver of a search with a race, which is killed.

Its trainings are made up: a score depends on the norms and on the seed. At the evaluation with
number `kill` of all that replicates ever begin, in this process or others, it kills itself.
"""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from normsearch.config import StudyConfig, TrialConfig
from normsearch.search.checks import build_space
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from tests.made_up_search import EVALUATIONS, record, slots_of_a_small_network

STUDY: dict[str, Any] = {
    "name": "raced",
    "task": {"data": "none", "test_folds": ["1"]},
    "network": {"first_channels": 8, "depth": 1},
    "training": {"samples": 90, "evaluations": EVALUATIONS},
    "space": {
        "norm": {"choices": ["none", "BN", "IN", "GN-2"]},
        "learning_rate": {"low": 0.01, "high": 0.1},
        "batch_size": [2, 4],
    },
    "search": {"trials": 18, "race": 0.4, "pruner": "none"},
}


def share(text: object) -> float:
    """Return a number from 0 to 1 that seems drawn and is the same in every process."""
    return zlib.crc32(repr(text).encode()) % 1000 / 1000


def worth(config: TrialConfig) -> float:
    """Return the final score of a training: half its norms' own, half luck."""
    norms = sorted(config.norm_map.items())
    return (share(norms) + share((norms, config.learning_rate, config.network.seed))) / 2


def trainer(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Yield every evaluation at once."""
    for evaluation in range(1, EVALUATIONS + 1):
        score = worth(config) * evaluation / EVALUATIONS
        yield {**record(config, evaluation), "score": score}


def coordinator_of(folder: Path, **arguments: Any) -> Coordinator:
    """Return a driver of the study in `folder`."""
    config = StudyConfig.model_validate(STUDY)
    slots = list(slots_of_a_small_network())
    folder.mkdir(exist_ok=True)
    return Coordinator(folder, config, build_space(config.space, slots, "raced: "), **arguments)


def main(folder: Path, kill: int) -> None:
    """Run the study, or resume it."""

    def mortal(config: TrialConfig, data: Any, place: Path, token: str) -> Iterator[dict[str, Any]]:
        for one in trainer(config, data, place, token):
            if config.network.seed:
                with (folder / "evaluations").open("a") as file:
                    file.write("|")
                if (folder / "evaluations").stat().st_size == kill:
                    os.kill(os.getpid(), signal.SIGKILL)
            yield one

    run_local(coordinator_of(folder), None, mortal)
