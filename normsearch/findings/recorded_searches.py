"""What the recorded table can answer: searches replayed on it, and what SN chooses there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from normsearch.benchmark.setup import SETUPS, switchable_weights
from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import NORMS, STAGES, Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.config.reading import validate

BRANCHES = ("IN", "LN", "BN")
FIRST_SEED = (0,)  # the registered statements are about the table of one seed


def replay_searches(
    methods: Mapping[str, Mapping[str, Any]], *, seeds: range, trainings: int, workers: int
) -> pd.DataFrame:
    """Return seed, method and regret after as many samples as `trainings` full trainings.

    Args:
        methods: searches as a study's `search` says them, but for the seed, by name.
        seeds: of the searches.
        trainings: the budget.
        workers: virtual workers.
    """
    table, space, rows = load_table(seeds=FIRST_SEED), table_space(), []
    budget = trainings * table.samples[-1]
    for name, search in methods.items():
        for seed in seeds:
            config = validate(SearchConfig, {**search, "seed": seed}, f"methods.{name}")
            method = OptunaMethod(space, config, table.samples)
            done = replay(table, method, workers=workers, samples=budget)
            rows.append((seed, name, done.at(budget)))
    return pd.DataFrame(rows, columns=["seed", "method", "regret"])


def switchable_on_table(data: Path | None, *, seeds: range, gate_factor: float) -> pd.DataFrame:
    """Return how SN's weights in the table's setting agree with the table, by seed and stage.

    Columns: seed, stage, agreement (Spearman's correlation of IN, LN and BN by weight and by mean
    score of all trainings with that norm in the stage).
    """
    split = SETUPS["sunnybrook"].load_split(data)
    found = pd.DataFrame(switchable_weights(split, seeds=seeds, gate_factor=gate_factor))
    means, rows = marginal_means(load_table(seeds=FIRST_SEED)), []
    for (seed, stage), own in found.groupby(["seed", "stage"]):
        weights = own.groupby("branch")["weight"].mean()
        agreement = scipy.stats.spearmanr(
            [float(weights[branch]) for branch in BRANCHES],
            [means[str(stage), branch] for branch in BRANCHES],
        )[0]
        rows.append((seed, stage, float(agreement)))
    return pd.DataFrame(rows, columns=["seed", "stage", "agreement"])


def marginal_means(table: Table) -> dict[tuple[str, str], float]:
    """Return the mean final score of all trainings of the table with a norm in a stage."""
    return {
        (stage, norm): float(
            np.mean(
                [table.final[row] for choice, row in table.row.items() if choice[place] == norm]
            )
        )
        for place, stage in enumerate(STAGES)
        for norm in NORMS
    }
