"""What the recorded table can answer: searches replayed on it, and judges of search statements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import NORMS, STAGES, Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.config.reading import validate
from normsearch.confirmation.pair_tests import Array
from normsearch.errors import ConfigError
from normsearch.findings.score_judges import Parts
from normsearch.findings.verdicts import Verdict, all_above, by_t
from normsearch.search.rank_correlation import rank_correlations

BRANCHES = ("IN", "LN", "BN")


def replayed_part(settings: Mapping[str, Any], data: Path | None) -> pd.DataFrame:
    """Return the outcome of a part that needs no run of its own.

    ``kind: searches`` gives method, seed, regret; ``kind: switchable`` what SN learnt in the
    table's setting, beside how good that norm is there: seed, stage, branch, weight, mean.

    Raises:
        ConfigError: another kind.
        DataError: the data of the table's setting are not there.
    """
    given = {key: value for key, value in settings.items() if key != "kind"}
    if settings.get("kind") == "searches":
        return replay_searches(**given)
    if settings.get("kind") == "switchable":
        return switchable_on_table(data=data, **given)
    raise ConfigError(f"replay.kind: must be searches or switchable, got {settings.get('kind')!r}.")


def replay_searches(
    *,
    methods: Mapping[str, Mapping[str, Any]],
    seeds: int,
    first_seed: int,
    trainings: int,
    workers: int,
) -> pd.DataFrame:
    """Return method, seed and regret after as many samples as `trainings` full trainings.

    `methods` are searches as a study's `search` says them, but for the seed.
    """
    table, space, rows = load_table(), table_space(), []
    budget = trainings * table.samples[-1]
    for name, search in methods.items():
        for seed in range(first_seed, first_seed + seeds):
            config = validate(SearchConfig, {**search, "seed": seed}, f"replay.methods.{name}")
            method = OptunaMethod(space, config, len(table.samples))
            done = replay(table, method, workers=workers, samples=budget)
            rows.append((name, seed, done.at(budget)))
    return pd.DataFrame(rows, columns=["method", "seed", "regret"])


def switchable_on_table(*, seeds: int, gate_factor: float, data: Path | None) -> pd.DataFrame:
    """Return seed, stage, branch, SN's weight and the mean score of that norm in the table."""
    from normsearch.benchmark.setup import load_split, switchable_weights

    split = load_split(data)
    found = switchable_weights(split, seeds=range(seeds), gate_factor=gate_factor)
    weights = pd.DataFrame(found).groupby(["seed", "stage", "branch"])["weight"].mean()
    means = marginal_means(load_table())
    table = weights.reset_index()
    table["mean"] = [
        means[stage, branch] for stage, branch in zip(table["stage"], table["branch"], strict=True)
    ]
    return table


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


def less_regret(parts: Parts, *, part: str, of: str, than: Sequence[str]) -> Verdict:
    """Judge whether one search method is left with less regret than each of others, by seed."""
    regret = parts[part].replays.pivot(index="seed", columns="method", values="regret")
    found = [
        by_t(f"{of} over {other}", (regret[other] - regret[of]).to_numpy(float)) for other in than
    ]
    table = regret.agg(["mean", "median"]).T.rename_axis("method").reset_index()
    return all_above(found, quantity="Dice gained over the other method",
                     interval="95%, t over seeds", table=table)  # fmt: skip


def argmax_predicts(parts: Parts, *, part: str, barely: float = 0.05) -> Verdict:
    """Judge whether SN's weights tell which of IN, LN and BN is best in each stage.

    Two contrasts over seeds: Spearman's correlation of weights with the table's mean scores, both
    ranked within a stage and averaged over stages; and how far the argmax of all stages, as a
    network of its own, is above the middle of the mixtures of the three. Stages whose weights
    stayed within `barely` of equal are flagged, and not counted in the correlation.
    """
    frame = parts[part].replays
    weights = frame.pivot_table(index=["seed", "stage"], columns="branch", values="weight")
    means = frame.pivot_table(index="stage", columns="branch", values="mean")
    table = load_table()
    mean = weights.groupby(level="stage").mean().loc[list(STAGES)]
    still = [s for s in STAGES if (mean.loc[s] - 1 / len(BRANCHES)).abs().max() < barely]
    moved = [s for s in STAGES if s not in still]
    rhos, places = [], []
    for _, own in weights.groupby(level="seed"):
        by_stage = own.droplevel("seed").loc[list(STAGES)]
        found_rhos = [_spearman(by_stage.T[stage], means.T[stage]) for stage in moved]
        rhos.append(float(np.mean(found_rhos)) if moved else float("nan"))
        places.append(standing(table, tuple(map(str, by_stage.idxmax(axis=1)))) - 0.5)
    shown = mean.join(means, rsuffix=" (mean Dice)").reset_index()
    flags = [f"stages whose weights barely moved, not counted: {', '.join(still)}"] if still else []
    found = [
        by_t("rank correlation of weights with mean Dice", rhos),
        by_t("place of the argmax among the 81 mixtures, above the middle", places),
    ]
    return all_above(found, quantity="agreement", interval="95%, t over seeds", table=shown,
                     flags=flags)  # fmt: skip


def standing(table: Table, choice: tuple[str, ...]) -> float:
    """Return the share of the mixtures of IN, LN and BN that one beats; ties count half."""
    every = [
        table.final[table.row[some]] for some in itertools.product(BRANCHES, repeat=len(STAGES))
    ]
    own = table.final[table.row[choice]]
    return float(np.mean([(own > other) + 0.5 * (own == other) for other in every]))


def _spearman(first: pd.Series[float], second: pd.Series[float]) -> float:
    order = second.reindex(first.index).sort_values().index
    found: Array = rank_correlations(pd.DataFrame([first[order].to_numpy()]))
    return float(found[0])
