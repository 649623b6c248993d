"""What the recorded table can answer: searches replayed on it, and what SN chooses there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from normsearch.benchmark.setup import load_split, switchable_weights
from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import NORMS, STAGES, Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.config.reading import validate

BRANCHES = ("IN", "LN", "BN")


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
    table, space, rows = load_table(), table_space(), []
    budget = trainings * table.samples[-1]
    for name, search in methods.items():
        for seed in seeds:
            config = validate(SearchConfig, {**search, "seed": seed}, f"methods.{name}")
            method = OptunaMethod(space, config, len(table.samples))
            done = replay(table, method, workers=workers, samples=budget)
            rows.append((seed, name, done.at(budget)))
    return pd.DataFrame(rows, columns=["seed", "method", "regret"])


def switchable_on_table(data: Path | None, *, seeds: range, gate_factor: float) -> pd.DataFrame:
    """Return what SN's weights in the table's setting say of the table, a row a seed.

    Columns: seed; agreement (Spearman's correlation of IN, LN and BN by weight and by mean score
    of all trainings with that norm in the stage, mean over stages); place (the share of the 81
    mixtures of the three that the argmax of the weights beats, ties count half).
    """
    found = pd.DataFrame(switchable_weights(load_split(data), seeds=seeds, gate_factor=gate_factor))
    table, rows = load_table(), []
    means = marginal_means(table)
    for seed, own in found.groupby("seed"):
        weights = own.pivot_table(index="stage", columns="branch", values="weight")
        chosen = tuple(str(weights.loc[stage].idxmax()) for stage in STAGES)
        agreement = [
            float(
                stats.spearmanr(
                    [float(weights[branch][stage]) for branch in BRANCHES],
                    [means[stage, branch] for branch in BRANCHES],
                )[0]
            )
            for stage in STAGES
        ]
        rows.append((seed, float(np.mean(agreement)), standing(table, chosen)))
    return pd.DataFrame(rows, columns=["seed", "agreement", "place"])


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


def standing(table: Table, choice: tuple[str, ...]) -> float:
    """Return the share of the mixtures of IN, LN and BN that one beats; ties count half."""
    every = [
        table.final[table.row[some]] for some in itertools.product(BRANCHES, repeat=len(STAGES))
    ]
    own = table.final[table.row[choice]]
    return float(np.mean([(own > other) + 0.5 * (own == other) for other in every]))
