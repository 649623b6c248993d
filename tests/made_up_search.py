"""A small study whose trainings are made up: what the search does with trials, without torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from normsearch.config import StudyConfig, TrialConfig
from normsearch.networks import NormSlot, build_network, list_norms
from normsearch.search.checks import build_space
from normsearch.search.coordinator import Coordinator

EVALUATIONS = 9


@cache
def slots_of_a_small_network() -> tuple[NormSlot, ...]:
    """Return the norm slots of a U-Net with 8 channels first and one level."""
    return tuple(list_norms(build_network("unet2d", first_channels=8, depth=1)))


def made_up_score(norm_map: dict[str, str], evaluation: int) -> float:
    """Return a score that rises with the evaluation to a height that the norm map decides."""
    height = zlib.crc32(repr(sorted(norm_map.items())).encode()) % 1000 / 1000
    return height * evaluation / EVALUATIONS


def record(config: TrialConfig, evaluation: int) -> dict[str, Any]:
    """Return what `train_trial` would yield."""
    return {
        "evaluation": evaluation,
        "samples": 10 * evaluation,
        "steps": 5 * evaluation,
        "seconds": 0.5 * evaluation,
        "loss": 1.0 / evaluation,
        "score": made_up_score(config.norm_map, evaluation),
        "peak_memory": 1000,
        "cases": {"a": 0.5},
        "parameters": 100,
        "learnt": {},
    }


def trainer(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Yield every evaluation at once."""
    for evaluation in range(1, EVALUATIONS + 1):
        yield record(config, evaluation)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Coordinator]:
    """Return a maker of coordinators on one run: each call is another driver."""

    def make(
        trials: int = 12,
        search: dict[str, Any] | None = None,
        space: dict[str, Any] | None = None,
        metric: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Coordinator:
        config = StudyConfig.model_validate(
            {
                "name": "made-up",
                "task": task or {"data": "none"},
                "network": {"first_channels": 8, "depth": 1},
                "training": {"samples": 90, "evaluations": EVALUATIONS, "metric": metric or {}},
                "space": space
                or {
                    "norm": {"choices": ["none", "BN", "IN", "GN-2"]},
                    "learning_rate": {"low": 0.01, "high": 0.1},
                    "batch_size": [2, 4],
                },
                "search": {"trials": trials, **(search or {})},
            }
        )
        laid = build_space(config.space, list(slots_of_a_small_network()), "made-up: ")
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return Coordinator(folder, config, laid, **arguments)

    return make
