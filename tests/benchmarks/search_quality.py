"""How good is what a search finds, for the samples it spends? Methods replayed on the table.

    python -m tests.benchmarks.search_quality --seeds 50

Each method runs on 4 virtual workers until it has spent as much as `FULL[-1]` full trainings. The
seeds begin at `FIRST_SEED`, for the default's settings were chosen on those from 0 on. The table
is sunnybrook's first training seed; `--all` serves one of all recorded seeds at random and judges
by those not served, `--data-set hippocampus` takes the data set on which nothing is tuned.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.analysis.search_quality import compute, figure
from normsearch.benchmark.replicates import noise_ceiling
from normsearch.benchmark.simulated_executor import Method, OptunaMethod, Outcome, replay
from normsearch.benchmark.table import (
    NORMS,
    STAGES,
    Table,
    load_table,
    shipped_seeds,
    table_space,
)
from normsearch.config import SearchConfig

TITLE = "Regret (Dice below the table's best) after as many samples as N full trainings: median"
FULL = (10, 15, 20, 30, 50, 75)
WORKERS = 4
FIRST_SEED = 1000


class StockTune:
    """Ray Tune's own OptunaSearch and ASHAScheduler, called as Tune's controller calls them.

    The searcher hears of every result but the one at which the scheduler stops the trial, and is
    told that the trial completed with that result's score; so its user sees stopped trials too.
    """

    def __init__(self, seed: int, evaluations: int) -> None:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        space = {stage: tune.choice(list(NORMS)) for stage in STAGES}
        self._search = OptunaSearch(space=None, seed=seed)
        self._search.set_search_properties("score", "max", space)
        self._scheduler = ASHAScheduler(metric="score", mode="max", max_t=evaluations)
        self._trials: dict[int, Any] = {}

    def ask(self) -> tuple[int, tuple[str, ...]]:
        """Suggest, and let the scheduler know of the trial."""
        number = len(self._trials)
        self._trials[number] = _Trial(str(number))
        config = self._search.suggest(str(number))
        self._scheduler.on_trial_add(None, self._trials[number])
        return number, tuple(config[stage] for stage in STAGES)

    def report(self, number: int, step: int, score: float) -> bool:
        """The scheduler first; the searcher only if the trial goes on."""
        result = {"score": score, "training_iteration": step}
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        if decision == self._scheduler.STOP:
            return True
        self._search.on_trial_result(str(number), result)
        return False

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Tell both."""
        result = {"score": score, "training_iteration": step}
        if outcome == "failed":
            self._search.on_trial_complete(str(number), error=True)
            return False
        if outcome == "complete":
            self._scheduler.on_trial_complete(None, self._trials[number], result)
        self._search.on_trial_complete(str(number), result)
        return True


class _Trial:
    """What the scheduler looks at in a trial of Tune."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def _ours(**search: Any) -> Callable[[int, int], Method]:
    space = table_space()

    def build(seed: int, evaluations: int) -> Method:
        return OptunaMethod(space, SearchConfig(seed=seed, **search), evaluations)

    return build


METHODS: dict[str, Callable[[int, int], Method]] = {
    "default": _ours(),
    "default, tpe": _ours(sampler="tpe"),
    "random": _ours(sampler="random", pruner="none", baselines=False),
    "random, pruned": _ours(sampler="random", baselines=False),
    "evoNMS": _ours(sampler="evonms", pruner="none", baselines=False),
    "stock Ray Tune": StockTune,
}


def curves(seeds: int, table: Table) -> pd.DataFrame:
    """Return method, seed, trainings (samples spent, in full trainings) and regret there."""
    rows = []
    for name, build in METHODS.items():
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            method = build(seed, len(table.samples))
            budget = FULL[-1] * table.samples[-1]
            done = replay(table, method, workers=WORKERS, samples=budget, seed=seed)
            rows += [(name, seed, full, done.at(full * table.samples[-1])) for full in FULL]
    return pd.DataFrame(rows, columns=["method", "seed", "trainings", "regret"])


def measure(seeds: int = 6, folder: Path | None = None, table: Table | None = None) -> pd.DataFrame:
    """Return median regret and its 95% interval by method and budget; draw them in `folder`.

    The table is sunnybrook's first seed if None.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Ray and Optuna say about each other
        frame = curves(seeds, table or load_table(seeds=(0,)))
    summary = compute(frame)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        frame.to_csv(folder / "search_quality_runs.csv", index=False)
        figure(summary).savefig(folder / "search_quality.png", dpi=150)
    summary["told"] = [
        f"{row.median:.4f} [{row.low:.4f}, {row.high:.4f}]" for row in summary.itertuples()
    ]
    told = summary.pivot(index="method", columns="trainings", values="told")
    return told.loc[list(METHODS)].reset_index()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--data-set", choices=list(shipped_seeds()), default="sunnybrook")
    parser.add_argument("--all", action="store_true", help="serve all recorded training seeds")
    given = parser.parse_args()
    chosen = load_table(data_set=given.data_set, seeds=None if given.all else (0,))
    if len(chosen.seeds) > 1:
        print(noise_ceiling(chosen))
    print(f"{TITLE}\n{measure(given.seeds, given.folder, chosen).to_string(index=False)}")
