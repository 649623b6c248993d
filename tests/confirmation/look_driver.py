"""A driver of a confirmation in looks: ``python -m tests.confirmation.look_driver FOLDER [ray]``.

Its trainings are made up. FOLDER is the run's folder, made here if there is none; with ``ray`` it
has two workers of Ray. Each time a training begins, its folder's file ``begun`` gets a line.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from normsearch.config import Resources, StudyConfig, TrialConfig
from normsearch.config.reading import validate
from normsearch.confirmation.execution import scheduled
from normsearch.errors import StudyError, TrainingError
from normsearch.networks import build_network, list_norms
from normsearch.search.checks import build_space
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Callback
from normsearch.search.local_executor import run_local
from normsearch.search.ray_executor import run_ray
from normsearch.storage.run_folder import create_run
from tests.made_up_confirmation import SEARCH, record_of

CASES = [f"c{index}" for index in range(12)]
#: What arms truly gain: one is better, two are bad; "GN-2" fails in its second seed.
GAINS = {"IN": 0.0, "BN": 0.0, "GN-2": 0.0, "none": -0.1, "LN": 0.0, "mixed": 0.08, "other": -0.2}
NORMS = {"mixed": {"*": "IN", "enc1.*": "BN"}, "other": {"*": "BN", "enc1.*": "IN"}}


def raw_study(**space: Any) -> dict[str, Any]:
    """Return a confirmation in looks: seven arms, IN is the reference."""
    arms = [
        {"name": name, "norm": NORMS.get(name, name), "learning_rate": 0.05, "batch_size": 2}
        for name in GAINS
    ]
    origin = {
        "study": "made-up",
        "trials": dict(zip(GAINS, range(20), strict=False)),
        "scores": {name: 0.8 - place / 100 for place, name in enumerate(GAINS)},
        "mixtures": ["mixed", "other"],
        "beside": dict.fromkeys(set(GAINS) - {"IN"}, "IN"),
    }
    found = {"arms": arms, "seeds": 8, "design": "looks", "reference": "IN", "origin": origin}
    task = {"data": "none", "test_folds": ["3"], "validation": "test"}
    kept = {key: SEARCH[key] for key in ("network", "training")}
    return {"name": "made-up-confirm", "task": task, "space": {**found, **space}, **kept}


def scores(trial: TrialConfig) -> dict[str, float] | str:
    """Case + arm + training, drawn from what the trial is."""
    seed, arm = trial.network.seed, str(trial.arm)
    if (arm, seed) == ("GN-2", 1):
        return "made to fail"
    luck = np.random.default_rng([seed, zlib.crc32(arm.encode())])
    case = np.random.default_rng(0).normal(0.6, 0.1, len(CASES))
    values = case + GAINS[arm] + luck.normal(0, 0.015) + luck.normal(0, 0.02, len(CASES))
    return dict(zip(CASES, values.tolist(), strict=True))


def train(trial: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Write the cases of a training and yield its record."""
    found = scores(trial)
    if isinstance(found, str):
        raise TrainingError(found, kind="nan")
    lines = [f"{case},1,{score!r}" for case, score in found.items()]
    folder.joinpath("cases.csv").write_text("\n".join(["case,evaluation,score", *lines]))
    yield record_of(found)


def coordinator(
    folder: Path, config: StudyConfig, tell: Callback = lambda event: None
) -> Coordinator:
    """Return a driver of the run in `folder`."""
    slots = list_norms(build_network("unet2d", first_channels=8, depth=1))
    space = build_space(config.space, slots, "made-up: ")
    space = scheduled(space, config, folder, None, tell)
    return Coordinator(folder, config, space, listener=tell, lease=3.0)


def begin(folder: Path) -> StudyConfig:
    """Create the run unless another driver has."""
    config = validate(StudyConfig, raw_study(), "made-up")
    try:
        create_run(folder, config, {})
    except StudyError:
        time.sleep(0.5)
    return config


def _slowly(trial: TrialConfig, *rest: Any) -> Iterator[dict[str, Any]]:
    with (rest[1] / "begun").open("a") as file:
        file.write("1\n")
    for found in train(trial, *rest):
        time.sleep(0.5)  # its scores are written, and are not reported yet
        yield found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    driver = coordinator(place, begin(place))
    if "ray" in sys.argv:
        run_ray(driver, None, _slowly, resources=Resources(), workers=2)
    else:
        run_local(driver, None, _slowly)
