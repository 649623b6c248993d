"""A driver beside others: ``python -m tests.search.contender FOLDER TRIALS LEASE AHEAD``.

Its trainings are made up and slow; each interval it trains is a line ``PID TRIAL INTERVAL BEGIN
END`` (seconds that all processes of the machine agree on) of FOLDER/intervals. Its wall clock is
AHEAD seconds ahead.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from normsearch.config import StudyConfig, TrialConfig
from normsearch.networks import build_network, list_norms
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.space.layered import Space
from normsearch.trials.training import check_owner
from tests.made_up_search import EVALUATIONS, record

ME = uuid.uuid4().hex[:8]  # a pid is not one of a kind here


def trainer(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Go on from FOLDER/done, written only where the owner's token allows it."""
    done = folder / "done"
    for evaluation in range(1, EVALUATIONS + 1):
        if evaluation > (int(done.read_text()) if done.exists() else 0):
            began = time.monotonic()
            time.sleep(0.1)
            check_owner(folder, token)
            done.write_text(str(evaluation))
            with (folder.parents[1] / "intervals").open("a") as log:
                log.write(f"{ME} {config.number} {evaluation} {began} {time.monotonic()}\n")
        yield record(config, evaluation)


def main(folder: Path, trials: int, lease: float, ahead: float) -> None:
    real = time.time
    time.time = lambda: real() + ahead  # type: ignore[assignment]
    config = StudyConfig.model_validate(
        {
            "name": "contended",
            "task": {"data": "none"},
            "network": {"first_channels": 8, "depth": 1},
            "training": {"samples": 90, "evaluations": EVALUATIONS},
            "space": {
                "norm": {"choices": ["BN", "IN", "GN-2"]},
                "learning_rate": {"low": 0.01, "high": 0.1},
                "batch_size": [2, 4],
            },
            "search": {"trials": trials},
        }
    )
    slots = list_norms(build_network("unet2d", first_channels=8, depth=1))
    space = Space(config.space, slots, "contended: ")  # type: ignore[arg-type]
    coordinator = Coordinator(
        folder, config, space, lease=lease, listener=lambda event: print(event, flush=True)
    )
    run_local(coordinator, None, trainer)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
