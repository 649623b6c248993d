"""The methods that are compared on a recorded table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from normsearch.benchmark.simulated_executor import Method, OptunaMethod, replay
from normsearch.benchmark.table import Table, table_space
from normsearch.config import SearchConfig
from normsearch.limits import TRIALS
from tests.benchmarks.rivals.equal_terms import SINGLE_NORMS, EqualTerms
from tests.benchmarks.rivals.raced import RacedRival, RaceEnd, RacingByMeans
from tests.benchmarks.rivals.runs import Search

DEFAULT = "default"
FULL = (10, 15, 20, 30, 50)  # full trainings
RACED = (20, 30)  # of a search and its race
RACE = 0.25  # share of the race
WORKERS = 4
Build = Callable[[int, Sequence[int], int], Method]
"""Seed, samples seen at each evaluation point of a training, and budget in samples."""
_HERE = "tests.benchmarks.rivals"
_OPTUNA = "optuna.samplers"
_FIRST_RUNG = SearchConfig().pruner.min_resource


def sampler(seed: int, samples: Sequence[int], budget: int, **search: Any) -> Method:
    """Return the search of `normsearch run` with these settings.

    Raises:
        ImportError: the sampler's package is not installed.
    """
    module = str(search.get("sampler", "")).partition(":")[0]
    if module.startswith(_HERE):
        import_module(module)  # says what is missing; the reader of settings would explain it away
    return OptunaMethod(table_space(), SearchConfig(seed=seed, **search), samples)


def raced(
    seed: int,
    samples: Sequence[int],
    budget: int,
    *,
    method: type[RaceEnd] = RaceEnd,
    **search: Any,
) -> Method:
    """Return the search of `sampler` with a race at its end, within `budget` samples."""
    limited = SearchConfig(seed=seed, samples=budget, race=RACE, **search)
    return method(table_space(), limited, samples)


def raced_rival(seed: int, samples: Sequence[int], budget: int, *, build: Build) -> Method:
    """Return a rival's search with the race of `raced` at its end."""
    search = SearchConfig(seed=seed, samples=budget, race=RACE, pruner="none", baselines=False)
    return RacedRival(search, samples, build(seed, samples, budget))


def rival(
    name: str,
    seed: int,
    samples: Sequence[int],
    budget: int,
    *,
    shipped: bool = False,
    **own: Any,
) -> Method:
    """Return an optimizer with a schedule of its own, at equal terms or as shipped.

    Args:
        name: module and class, ``module:Class``.
        seed: of its draws.
        samples: samples seen at each evaluation point of a whole training.
        budget: in samples; these optimizers do not ask for it.
        shipped: without single norms first and free repeats; stopped trials may be the best.
        own: further arguments of the class, if not as shipped.

    Raises:
        ImportError: its package is not installed.
    """
    module, _, kind = name.partition(":")
    build, evaluations = getattr(import_module(f"{_HERE}.{module}"), kind), len(samples)
    if shipped:
        made = build(seed, evaluations)
        return EqualTerms(made, evaluations, first=(), free_repeats=False, stopped_count=True)
    return EqualTerms(build(seed, evaluations, SINGLE_NORMS, **own), evaluations, seed=seed)


_LOCAL = f"{_HERE}.local_search:LocalSearch"
_RAY_TUNE, _CQR, _DEHB = "ray_tune_rival:RayTune", "syne_tune_rival:AshaCqr", "dehb_rival:Dehb"
_BARE = {"pruner": "none", "baselines": False}

#: At equal terms (single norms first, early stopping, free repeats) but for those "as shipped".
METHODS: dict[str, Build] = {
    DEFAULT: sampler,
    "local search": partial(sampler, sampler=_LOCAL),
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

#: Searches that spend a quarter of the budget on a race, so that each budget is its own search.
RACES: dict[str, Build] = {
    "default, race": raced,
    "local search, race": partial(raced, sampler=_LOCAL),
    "local search, race by means": partial(raced, sampler=_LOCAL, method=RacingByMeans),
    "ASHA-CQR, race": partial(raced_rival, build=METHODS["ASHA-CQR"]),
}


def search(table: Table, name: str, build: Build, trainings: Sequence[int]) -> Search:
    """Return a method's searches on a table, to be judged after so many full trainings."""
    run, budgets = regrets, sorted(trainings)
    if name in RACES:
        run, budgets = raced_regrets, [one for one in budgets if one in RACED]
    return Search(partial(run, table, build, budgets), budgets)


def regrets(table: Table, build: Build, budgets: Sequence[int], seed: int) -> dict[int, float]:
    """Return the regret of one search at several budgets in full trainings.

    A search that recommends nothing yet counts as a failed training, a score of 0.
    """
    full, most = table.samples[-1], max(budgets) * table.samples[-1]
    method = build(seed, table.samples, most)
    done = replay(table, method, workers=WORKERS, samples=most, seed=seed)
    return {trainings: _finite(table, done.at(trainings * full)) for trainings in budgets}


def raced_regrets(
    table: Table, build: Build, budgets: Sequence[int], seed: int
) -> dict[int, float]:
    """Return the regret at the end of a search with a race, a search for each budget."""
    found = {}
    for trainings in budgets:
        method = build(seed, table.samples, trainings * table.samples[-1])
        done = replay(table, method, workers=WORKERS, trials=TRIALS, seed=seed)
        found[trainings] = _finite(table, done.regret[-1])
    return found


def _finite(table: Table, regret: float) -> float:
    return regret if math.isfinite(regret) else float(table.final.max())
