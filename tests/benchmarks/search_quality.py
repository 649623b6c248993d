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
from functools import partial
from pathlib import Path

import pandas as pd

from normsearch.analysis.search_quality import compute, figure
from normsearch.benchmark.replicates import noise_ceiling
from normsearch.benchmark.simulated_executor import replay
from normsearch.benchmark.table import Table, load_table, shipped_seeds
from tests.benchmarks.rivals import table_methods

TITLE = "Regret (Dice below the table's best) after as many samples as N full trainings: median"
FULL = (10, 15, 20, 30, 50, 75)
WORKERS = 4
FIRST_SEED = 1000

METHODS: dict[str, table_methods.Build] = {
    "default": table_methods.sampler,
    "default, tpe": partial(table_methods.sampler, sampler="tpe"),
    "random": table_methods.METHODS["random, no pruning"],
    "random, pruned": partial(table_methods.sampler, sampler="random", baselines=False),
    "evoNMS": table_methods.METHODS["evoNMS, as published"],
    "stock Ray Tune": table_methods.METHODS["stock Ray Tune"],
}


def curves(seeds: int, table: Table) -> pd.DataFrame:
    """Return method, seed, trainings (samples spent, in full trainings) and regret there."""
    rows = []
    for name, build in METHODS.items():
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            budget = FULL[-1] * table.samples[-1]
            method = build(seed, table.samples, budget)
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
