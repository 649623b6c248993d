"""The methods that are compared on a recorded table."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from normsearch.benchmark.simulated_executor import Method, OptunaMethod, replay
from normsearch.benchmark.table import Table, table_space
from normsearch.config import SearchConfig
from tests.benchmarks.rivals.equal_terms import SINGLE_NORMS, EqualTerms

DEFAULT = "default"
FULL = (10, 15, 20, 30, 50)  # full trainings
WORKERS = 4
Build = Callable[[int, int], Method]
_HERE = "tests.benchmarks.rivals"
_OPTUNA = "optuna.samplers"
_FIRST_RUNG = SearchConfig().pruner.min_resource


def sampler(seed: int, evaluations: int, **search: Any) -> Method:
    """Return the search of `normsearch run` with these settings.

    Raises:
        ImportError: the sampler's package is not installed.
    """
    module = str(search.get("sampler", "")).partition(":")[0]
    if module.startswith(_HERE):
        import_module(module)  # says what is missing; the reader of settings would explain it away
    return OptunaMethod(table_space(), SearchConfig(seed=seed, **search), evaluations)


def rival(name: str, seed: int, evaluations: int, *, shipped: bool = False, **own: Any) -> Method:
    """Return an optimizer with a schedule of its own, at equal terms or as shipped.

    Args:
        name: module and class, ``module:Class``.
        seed: of its draws.
        evaluations: evaluation points of a whole training.
        shipped: without single norms first and free repeats; stopped trials may be the best.
        own: further arguments of the class, if not as shipped.

    Raises:
        ImportError: its package is not installed.
    """
    module, _, kind = name.partition(":")
    build = getattr(import_module(f"{_HERE}.{module}"), kind)
    if shipped:
        made = build(seed, evaluations)
        return EqualTerms(made, evaluations, first=(), free_repeats=False, stopped_count=True)
    return EqualTerms(build(seed, evaluations, SINGLE_NORMS, **own), evaluations, seed=seed)


_RAY_TUNE, _CQR, _DEHB = "ray_tune_rival:RayTune", "syne_tune_rival:AshaCqr", "dehb_rival:Dehb"
_BARE = {"pruner": "none", "baselines": False}

#: At equal terms (single norms first, early stopping, free repeats) but for those "as shipped".
METHODS: dict[str, Build] = {
    DEFAULT: sampler,
    "local search": partial(sampler, sampler=f"{_HERE}.local_search:LocalSearch"),
    "ASHA-CQR": partial(rival, _CQR, min_resource=_FIRST_RUNG),
    "TPE": partial(sampler, sampler="tpe"),
    "TPE + hyperband": partial(sampler, sampler="tpe", pruner="hyperband"),
    "Optuna GPSampler": partial(sampler, sampler=f"{_OPTUNA}:GPSampler"),
    "regularized evolution": partial(sampler, sampler="evolution"),
    "evoNMS": partial(sampler, sampler="evonms"),
    "SMAC3": partial(sampler, sampler=f"{_HERE}.smac_sampler:Smac"),
    "DEHB": partial(rival, _DEHB),
    "Ray Tune": partial(rival, _RAY_TUNE, min_resource=_FIRST_RUNG),
    "random": partial(sampler, sampler="random"),
    "ASHA-CQR, as shipped": partial(rival, _CQR, shipped=True),
    "DEHB, as shipped": partial(rival, _DEHB, shipped=True),
    "stock Ray Tune": partial(rival, _RAY_TUNE, shipped=True),
    "evoNMS, as published": partial(sampler, sampler="evonms", **_BARE),
    "random, no pruning": partial(sampler, sampler="random", **_BARE),
}


def regrets(table: Table, build: Build, seed: int) -> dict[int, float]:
    """Return the regret of one search by budget in full trainings.

    A search that recommends nothing yet counts as a failed training, a score of 0.
    """
    points, full = len(table.samples), table.samples[-1]
    done = replay(table, build(seed, points), workers=WORKERS, samples=FULL[-1] * full, seed=seed)
    found = {trainings: done.at(trainings * full) for trainings in FULL}
    worst = float(table.final.max())
    return {trainings: at if math.isfinite(at) else worst for trainings, at in found.items()}
