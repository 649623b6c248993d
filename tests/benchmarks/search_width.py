"""How good is what a sampler finds where a network has many slots and trials are few?

    python -m tests.benchmarks.search_width --seeds 40 --trials 300

No network is trained: the score of a norm map on the quickstart's slots is made up, of what each
norm is worth everywhere, of what it is worth in a slot, of how neighbouring slots go together, of
the learning rate, and of noise. Each seed makes another landscape; all samplers get the same ones.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.benchmark.simulated_executor import OptunaMethod
from normsearch.config import SearchConfig, SpaceConfig
from normsearch.networks import build_network, list_norms
from normsearch.space.layered import Space

TITLE = "17 slots of 8 norms: mean regret (in deviations of the noise) after as many trials"
NORMS = ("none", "BN", "IN", "LN", "GN-4", "BIN", "ILN(regroup=none)", "SN")
COUNTS = (30, 60, 100, 300)


def wide_space() -> Space:
    """Return the space of the quickstart: 8 norms a slot, learning rate, batch size."""
    config = {
        "norm": {"per": "layer", "choices": list(NORMS)},
        "learning_rate": {"low": 0.01, "high": 0.3},
        "batch_size": [2, 4, 8],
    }
    slots = list_norms(build_network("unet2d", first_channels=8, depth=3))
    return Space(SpaceConfig.model_validate(config), slots, "width: ")


class Landscape:
    """A made-up objective over norm maps; `noise` is 1, and everything else in its units."""

    def __init__(self, slots: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        general = rng.normal(0, 3, size=(1, len(NORMS)))  # of a whole network of one norm
        self._worth = (general + rng.normal(0, 3, size=(slots, len(NORMS)))) / math.sqrt(slots)
        pairs = rng.normal(0, 2, size=(slots - 1, len(NORMS), len(NORMS)))
        self._pairs = pairs / math.sqrt(slots)
        self._rate = rng.uniform(math.log(0.02), math.log(0.15))

    def norms(self, picks: npt.NDArray[np.int64]) -> float:
        """Return what the norms, as numbers, are worth."""
        slots = np.arange(len(picks))
        alone = self._worth[slots, picks].sum()
        return float(alone + self._pairs[slots[:-1], picks[:-1], picks[1:]].sum())

    def score(self, picks: npt.NDArray[np.int64], learning_rate: float) -> float:
        """Return the score without noise."""
        return self.norms(picks) - (math.log(learning_rate) - self._rate) ** 2

    def best(self) -> float:
        """Return the highest score there is: dynamic programming along the slots."""
        reached = self._worth[0]
        for pair, worth in zip(self._pairs, self._worth[1:], strict=True):
            reached = (reached[:, None] + pair).max(axis=0) + worth
        return float(reached.max())


def search(
    sampler: str, seed: int, trials: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, for each trial, the regret of the incumbent and slots unlike a baseline's.

    The incumbent has the highest score with noise; its regret is without. The baseline is the best
    of those, which are the first trials.
    """
    space = wide_space()
    land, rng = Landscape(len(space.units), seed), np.random.default_rng(seed)
    config = SearchConfig(sampler=sampler, seed=seed, pruner="none")
    method = OptunaMethod(space, config, (1,))
    highest, true, regret, picked, scores = -math.inf, 0.0, [], [], []
    while len(regret) < trials and (asked := method.ask()):
        number, norms = asked
        picks = np.array([NORMS.index(norm) for norm in norms])
        value = land.score(picks, method.coordinator.chosen(number)["learning_rate"])
        scores.append(value + rng.normal())
        method.finish(number, "complete", 1, scores[-1])
        if scores[-1] > highest:
            highest, true = scores[-1], value
        regret.append(land.best() - true)
        picked.append(picks)
    base = picked[int(np.argmax(scores[: len(NORMS)]))]
    return np.array(regret), (np.array(picked) != base).sum(axis=1)


def measure(
    seeds: int = 4, trials: int = 60, samplers: tuple[str, ...] = ("gp", "tpe", "random")
) -> pd.DataFrame:
    """Return one row a sampler: mean regret and its standard error, mean of the slots changed."""
    counts, rows = [count for count in COUNTS if count <= trials], []
    for sampler in samplers:
        found = [search(sampler, seed, trials) for seed in range(seeds)]
        row: dict[str, Any] = {"sampler": sampler}
        for count in counts:
            at = np.array([regret[count - 1] for regret, _ in found])
            row[str(count)] = f"{at.mean():.2f} ± {at.std(ddof=1) / math.sqrt(seeds):.2f}"
        changed = np.mean([slots[len(NORMS) :].mean() for _, slots in found])
        rows.append({**row, "slots changed": round(float(changed), 1)})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--samplers", nargs="+", default=["gp", "tpe", "random"])
    given = parser.parse_args()
    table = measure(given.seeds, given.trials, tuple(given.samplers))
    print(f"{TITLE}\n{table.to_string(index=False)}")
