"""How often do the statistics say what is not so? Simulated studies in which nothing differs.

    python -m tests.benchmarks.statistics_null --studies 2000

Arms and cases are made up; the searches behind the figures are real (sampler, pruner and
coordinator's parts), on scores that no slot touches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from normsearch.confirmation.pair_tests import Array, difference_of, mean_interval, p_both
from normsearch.confirmation.power import precision
from normsearch.confirmation.statistics import compare
from tests.benchmarks.null_searches import marked

TITLE = "Errors, coverage and power of the statistics on simulated studies, in percent"
SEED, INTERACTION, CASE, REST = 0.02, 0.04, 0.1, 0.02  # standard deviations, as in small studies
#: A distribution of scores -> the mean of an arm over all cases and trainings.
KINDS = {"normal": 0.8, "heavy tails": 0.8, "skewed": 8 / 9.5, "floors": 0.76}


@dataclass(frozen=True)
class Cell:
    """A kind of study: the distribution of scores, the seeds of each arm, the cases."""

    kind: str
    seeds: tuple[int, ...]
    cases: int

    def __str__(self) -> str:
        counts = self.seeds if len(set(self.seeds)) > 1 else (self.seeds[0],)
        told = "+".join(map(str, counts)) if len(self.seeds) < 4 else f"{counts[0]}+{counts[-1]}"
        return f"{self.kind}, {len(self.seeds)} arms, {told} seeds, {self.cases} cases"


SEEDS = ((2, 2), (3, 3), (5, 5), (8, 8), (5, 2), (2, 5), (3,) * 8, (5,) * 8, (5, *(2,) * 7))
CELLS = [
    Cell(kind, seeds, cases)
    for kind in ("normal", "floors")
    for seeds, cases in (((2, 2), 15), ((5, 5), 45), ((5, 2), 15), ((3,) * 8, 15))
]
"""What the suite looks at."""


def made_up(
    kind: str,
    studies: int,
    seeds: tuple[int, ...],
    cases: int,
    random: np.random.Generator,
    spread: Sequence[float] = (),
) -> list[Array]:
    """Return scores of arms that do not differ in truth: (studies, seeds, cases) each.

    `spread`: the standard deviation over seeds of each arm; `SEED` if left out.
    """

    def drawn(spread: float, *shape: int) -> Array:
        if kind == "heavy tails":
            return np.asarray(random.standard_t(3, (studies, *shape)) * spread / 3**0.5)
        return random.normal(0, spread, (studies, *shape))

    if kind == "skewed":
        case = random.beta(8, 1.5, (studies, 1, cases))
    else:
        case = random.normal(0.8, CASE, (studies, 1, cases))
    arms = [
        case + drawn(INTERACTION / 2**0.5, 1, cases) + drawn(sd, n, 1) + drawn(REST, n, cases)
        for n, sd in zip(seeds, spread or (SEED,) * len(seeds), strict=True)
    ]
    if kind == "floors":  # a training misses a case altogether
        arms = [np.where(random.random(arm.shape) < 0.05, 0.0, arm) for arm in arms]
    return arms


def wrong(cell: Cell, studies: int, random: np.random.Generator) -> float:
    """Return the share of null studies in which any arm is called different from the first."""
    arms = made_up(cell.kind, studies, cell.seeds, cell.cases, random)
    p = np.min([p_both(arms[0], arm) for arm in arms[1:]], axis=0)
    return float((p * (len(arms) - 1) < 0.05).mean())  # Holm's first step


def covered(cell: Cell, studies: int, random: np.random.Generator) -> tuple[float, float]:
    """Return how often intervals hold the truth: the first arm's mean, all differences at once."""
    arms = made_up(cell.kind, studies, cell.seeds, cell.cases, random)
    low, high = mean_interval(arms[0])
    every = np.ones(studies, bool)
    for arm in arms[1:]:
        difference, error, free = difference_of(arms[0], arm)
        half = stats.t.isf(0.025 / (len(arms) - 1), free) * error
        every &= np.abs(difference) <= half
    truth = KINDS[cell.kind]
    return float(((low <= truth) & (truth <= high)).mean()), float(every.mean())


def disagreements(cell: Cell, studies: int, random: np.random.Generator) -> tuple[float, float]:
    """Return, where arms differ in truth, how often `compare` says what cannot be.

    First: an interval that holds no 0 beside "no difference found", or one that does beside
    another verdict. Second: intervals of all differences that do not all hold the truth.
    """
    shifts = np.resize([0.0, 0.03, 0.0, 0.06], len(cell.seeds))
    contradictions = missed = 0
    for _ in range(studies):
        arms = made_up(cell.kind, 1, cell.seeds, cell.cases, random)
        table = compare(as_table([a[0] + s for a, s in zip(arms, shifts, strict=True)]), "0")
        table = table[table["verdict"] != "reference"]
        inside = (table["total_low"] <= 0) & (table["total_high"] >= 0)
        edge = (table["total_low"] == 0) | (table["total_high"] == 0)
        same = table["verdict"] == "no difference found"
        contradictions += bool((same & ~inside).any() or (~same & inside & ~edge).any())
        truth = shifts[table["arm"].astype(int)]
        missed += bool(((truth < table["total_low"]) | (truth > table["total_high"])).any())
    return contradictions / studies, missed / studies


def as_table(arms: list[Array]) -> pd.DataFrame:
    """Return arms (seeds, cases) as `compare` takes them; arms are named by their place."""
    return pd.DataFrame(
        [
            (str(arm), seed, case, score)
            for arm, scores in enumerate(arms)
            for (seed, case), score in np.ndenumerate(scores)
        ],
        columns=["arm", "seed", "case", "score"],
    )


def bracketed(cell: Cell, studies: int, random: np.random.Generator) -> tuple[float, float]:
    """Return how often the stated ranges hold the truth: of power, and of what 80% would find.

    The true difference found in 80% of studies is measured on 4,000.
    """
    first, second = made_up(cell.kind, 4000, cell.seeds, cell.cases, random)
    low, high = 0.0, 2.0
    for _ in range(14):
        middle = (low + high) / 2
        found = (p_both(first, second + middle) < 0.05) & (
            (second + middle).mean(axis=(1, 2)) > first.mean(axis=(1, 2))
        )
        low, high = (low, middle) if found.mean() >= 0.8 else (middle, high)
    stated = [precision(first[n], second[n], seed=n) for n in range(studies)]
    powers = [one.power(high) for one in stated]
    sizes = [one.detectable(0.8) for one in stated]
    return (
        float(np.mean([one.low <= 0.8 <= one.high for one in powers])),
        float(np.mean([one.low <= high <= one.high for one in sizes])),
    )


def measure(studies: int = 2000, searches: int = 200) -> pd.DataFrame:
    """Return a row for each thing that is said and kind of study: percent, and what is wanted."""
    random = np.random.default_rng(0)
    rows: list[tuple[str, str, float, str]] = []

    def add(said: str, world: str, share: float, wanted: str) -> None:
        rows.append((said, world, round(100 * share, 1), wanted))

    for kind in KINDS:
        for cell in (Cell(kind, s, c) for s in SEEDS for c in (15, 45)):
            add("a difference, where none is", str(cell), wrong(cell, studies, random), "≤ 5")
            means, differences = covered(cell, studies, random)
            add("interval of a mean holds it", str(cell), means, "≥ 93")
            add("intervals of all differences hold them", str(cell), differences, "≥ 93")
    fewer = max(studies // 4, 1)
    for cell in (Cell(kind, s, 15) for kind in KINDS for s in ((5, 5), (5, 2), (3,) * 8)):
        contradictions, missed = disagreements(cell, fewer, random)
        add("interval against verdict, arms differ", str(cell), contradictions, "0")
        add("intervals of all differences, arms differ, miss one", str(cell), missed, "≤ 7")
    for cell in (Cell(kind, s, c) for kind in KINDS for s in ((3, 3), (5, 5)) for c in (15, 45)):
        power, size = bracketed(cell, min(fewer, 200), random)
        add("range of power holds it", str(cell), power, "≥ 90")
        add("range of what 80% find holds it", str(cell), size, "≥ 90")
    rows += list(_figures(searches))
    return pd.DataFrame(rows, columns=["said", "of", "percent", "wanted"])


def _figures(searches: int) -> Iterator[tuple[str, str, float, str]]:
    worlds: dict[str, Callable[[int], dict[str, bool]]] = {
        "random, 60 trials, no pruner": lambda seed: marked("random", 60, seed, pruner="none"),
        "random, 100 trials, pruned": lambda seed: marked("random", 100, seed),
        "gp, 80 trials, 50 of them drawn": lambda seed: marked("gp", 80, seed, startup=50),
        "gp, 80 trials, default": lambda seed: marked("gp", 80, seed),
    }
    for name, world in worlds.items():
        table = pd.DataFrame([world(seed) for seed in range(searches)])
        for figure, share in table.mean().items():
            yield f"a mark in {figure}, where no slot matters", name, 100 * float(share), "≤ 5"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--searches", type=int, default=200)
    options = parser.parse_args()
    with pd.option_context("display.max_rows", None, "display.width", 200):
        print(measure(options.studies, options.searches).to_string(index=False))
