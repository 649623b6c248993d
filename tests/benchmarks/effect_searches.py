"""How often the intervals of layer_effect hold what norms are truly worth in made-up searches.

    python -m tests.benchmarks.effect_searches --seeds 100

The searches are those of `normsearch run` on the recorded table's 1,296 norm maps, with pruning and
single norms first. Their scores are made up of what each norm is worth in each stage, of how
neighbouring stages go together, and of noise as between training seeds.
"""

from __future__ import annotations

import argparse
import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.analysis import layer_effect
from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import NORMS, Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.space.layered import Space
from tests.benchmarks.null_searches import WORKERS, Simulated

TITLE = "Effects of norms in made-up searches: what their 95 % intervals hold"
NOISE = 0.02
#: World -> standard deviations of what a norm is worth in a stage, and of a pair of neighbours.
WORLDS = {"nothing matters": (0.0, 0.0), "norms": (0.02, 0.0), "norms and pairs": (0.02, 0.01)}

Array = npt.NDArray[np.float64]


@cache
def _space() -> Space:
    return table_space()


@cache
def _table() -> Table:
    return load_table(seeds=(0,))


class World:
    """True scores of all norm maps of the table, (rows,), and trainings of them."""

    def __init__(self, worth: float, pairs: float, seed: int) -> None:
        self.table = _table()
        random = np.random.default_rng([seed, 1])
        stages = len(self.table.choices[0])
        picks = np.array([[NORMS.index(norm) for norm in map_] for map_ in self.table.choices])
        alone = random.normal(0, worth, (stages, len(NORMS)))
        both = random.normal(0, pairs, (stages - 1, len(NORMS), len(NORMS)))
        places = np.arange(stages)
        self.truth = 0.8 + alone[places, picks].sum(axis=1)
        self.truth += both[places[:-1], picks[:, :-1], picks[:, 1:]].sum(axis=1)
        self._random = random

    def trained(self) -> Table:
        """Return the table with one training of each map: a rising curve, noisy at its start."""
        table, random = self.table, self._random
        shape = table.score.shape[1:]
        points = np.arange(1, shape[1] + 1)
        final = (self.truth + random.normal(0, NOISE, len(self.truth)))[:, None]
        curves = final * (1 - 0.5 * np.exp(-0.6 * points))
        curves = curves + random.normal(0, 0.05 * np.exp(-0.4 * points), shape)
        curves[:, -1] = final[:, 0]
        seconds = points * random.uniform(0.9, 1.1, (len(table.choices), 1))
        return Table(
            table.choices, curves[None], seconds[None], table.samples, (0,), table.provenance
        )

    def effects(self, study: Simulated) -> dict[tuple[str, str], float]:
        """Return the true effect of each norm in each slot, as layer_effect defines it."""
        trials = study.trials()
        names = [f"norm.{slot}" for slot in study.slots]
        maps = trials.loc[trials["state"] == "COMPLETE", names].to_numpy()
        tried = trials.loc[trials["state"].isin(["COMPLETE", "PRUNED"]), names]
        found = {}
        for place, (slot, name) in enumerate(zip(study.slots, names, strict=True)):
            means = {}
            for norm in tried[name].unique():
                changed = maps.copy()
                changed[:, place] = norm
                means[norm] = np.mean([self.truth[self.table.row[tuple(row)]] for row in changed])
            middle = float(np.mean(list(means.values())))
            found.update({(slot, norm): float(mean) - middle for norm, mean in means.items()})
        return found


def search(world: World, sampler: str, trials: int, seed: int) -> Simulated:
    """Run a search in a world."""
    space = _space()
    config = SearchConfig.model_validate({"trials": trials, "sampler": sampler, "seed": seed})
    table = world.trained()
    method = OptunaMethod(space, config, table.samples)
    replay(table, method, workers=WORKERS, trials=trials)
    return Simulated(method, [unit.slots[0].name for unit in space.units])


def judged(kind: str, sampler: str, trials: int, seed: int) -> pd.DataFrame:
    """Return the effects of one search with their truth and whether the interval holds it."""
    world = World(*WORLDS[kind], seed)
    study = search(world, sampler, trials, seed)
    df = layer_effect.compute(study)
    df = df[df["slots"] > 0]
    truth = world.effects(study)
    df["truth"] = [truth[row.parameter, str(row.value)] for row in df.itertuples()]
    df["held"] = (df["low"] <= df["truth"]) & (df["truth"] <= df["high"])
    return df


def measure(
    seeds: int = 20,
    trials: int = 60,
    first: int = 0,
    samplers: tuple[str, ...] = ("random", "gp"),
    worlds: tuple[str, ...] = tuple(WORLDS),
) -> pd.DataFrame:
    """Return one row a world and sampler: shares of effects, each the mean over searches."""
    rows: list[dict[str, Any]] = []
    for kind in worlds:
        for sampler in samplers:
            every = [judged(kind, sampler, trials, first + seed) for seed in range(seeds)]
            held = np.array([df["held"].mean() for df in every if len(df)])
            together = pd.concat(every)
            few = together["trainings"] <= 3
            rows.append({
                "world": kind, "sampler": sampler, "searches": len(held),
                "held": f"{held.mean():.3f} ± {held.std(ddof=1) / math.sqrt(len(held)):.3f}",
                "held if tried 3 times or less": round(together.loc[few, "held"].mean(), 3),
                "beyond 0": round(together["beyond_0"].mean(), 3),
                "wrong sign of these": round(_wrong(together), 3),
                "width": round((together["high"] - together["low"]).mean(), 4),
                "width if tried 3 times or less":
                    round((together["high"] - together["low"])[few].mean(), 4),
                "correlation with truth": round(together["effect"].corr(together["truth"]), 2),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _wrong(df: pd.DataFrame) -> float:
    beyond = df[df["beyond_0"]]
    return float((np.sign(beyond["effect"]) != np.sign(beyond["truth"])).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", default=["random", "gp"])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    given = parser.parse_args()
    table = measure(
        given.seeds, given.trials, given.first, tuple(given.samplers), tuple(given.worlds)
    )
    print(f"{TITLE}\n{table.to_string(index=False)}")
