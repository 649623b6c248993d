"""A recorded table as a plain function and as an Optuna objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import optuna

from normsearch.benchmark.replicates import Replicates
from normsearch.benchmark.table import (
    NORMS,
    STAGES,
    Table,
    check_table,
    check_whole_number,
    load_table,
)
from normsearch.errors import ConfigError, short


@dataclass(frozen=True)
class RecordedTraining:
    """One training of a table.

    Attributes:
        score: Dice at each evaluation point, 0 to 1; shorter than `samples` if it failed.
        seconds: CPU seconds since it began, at the same points.
        samples: samples seen at each evaluation point of a training to the end.
    """

    score: tuple[float, ...]
    seconds: tuple[float, ...]
    samples: tuple[int, ...]

    @property
    def failed(self) -> bool:
        """Whether it failed before its last evaluation point."""
        return len(self.score) < len(self.samples)


def reported(trial: optuna.Trial, training: RecordedTraining) -> float:
    """Report a training to an Optuna trial, which it may prune; return its last score.

    NaN, which Optuna counts as a failed trial, if the training failed.
    """
    for point, score in enumerate(training.score, start=1):
        trial.set_user_attr("samples", training.samples[point - 1])
        trial.set_user_attr("seconds", training.seconds[point - 1])
        trial.report(score, point)
        if point < len(training.samples) and trial.should_prune():
            raise optuna.TrialPruned
    return float("nan") if training.failed else training.score[-1]


class Benchmark:
    """A recorded search space, for optimizers that are not normsearch's own.

    Each training of a choice is served with another of the table's seeds, in a random order, and
    `regret` judges by the seeds that were not served; see `Replicates`. Make a new object for each
    run of an optimizer.

    Args:
        data_set: of the shipped table; ``sunnybrook`` if None.
        seed: of the order of seeds; give methods that you compare the same.
        table: instead of the shipped one.

    Raises:
        ConfigError: the seed is not a whole number of 0 or more, the table is none, or a data set
            is given beside it.
        DataError: no table of `data_set` ships with the package.
    """

    def __init__(
        self, data_set: str | None = None, *, seed: int = 0, table: Table | None = None
    ) -> None:
        check_whole_number("seed", seed, 0)
        if table is None:
            table = load_table(data_set=data_set)
        elif data_set is not None:
            raise ConfigError(
                "Benchmark: data_set must be left out where a table is given, got both; the table "
                f"says what was trained, so leave out {short(data_set)}"
            )
        check_table("Benchmark", table)
        self.table = table
        self._replicates = Replicates(self.table, seed)

    @property
    def space(self) -> dict[str, tuple[str, ...]]:
        """The norms to choose from, by stage."""
        return dict.fromkeys(STAGES, NORMS)

    def train(self, choice: Mapping[str, str]) -> RecordedTraining:
        """Return the next training of a choice, one norm by stage.

        Raises:
            ConfigError: the choice is not in the table.
        """
        row = self._row(choice)
        seed = self._replicates.draw(row)
        score, seconds = self.table.score[seed, row], self.table.seconds[seed, row]
        known = ~np.isnan(score)
        return RecordedTraining(
            tuple(map(float, score[known])), tuple(map(float, seconds[known])), self.table.samples
        )

    def objective(self, trial: optuna.Trial) -> float:
        """Return the last score of the choice that an Optuna trial suggests, to be maximized.

        Every evaluation is reported, at its number from 1, and may prune the trial. The user
        attributes ``samples`` and ``seconds`` say what the trial cost. NaN, which Optuna counts as
        a failed trial, if the training failed.
        """
        choice = {stage: trial.suggest_categorical(stage, NORMS) for stage in STAGES}
        return reported(trial, self.train(choice))

    def truth(self, choice: Mapping[str, str]) -> float:
        """Return the mean last score of a choice over the seeds that were not served of it.

        A training that failed counts as 0.

        Raises:
            ConfigError: the choice is not in the table.
        """
        return self._replicates.truth(self._row(choice))

    def regret(self, choice: Mapping[str, str]) -> float:
        """Return how far the truth of a choice is below the table's best mean over all seeds.

        Raises:
            ConfigError: the choice is not in the table.
        """
        return self._replicates.regret(self._row(choice))

    def _row(self, choice: Mapping[str, str]) -> int:
        if isinstance(choice, Mapping) and set(choice) == set(STAGES):
            norms = tuple(choice[stage] for stage in STAGES)
            if all(isinstance(norm, str) for norm in norms) and norms in self.table.row:
                return self.table.row[norms]
        raise ConfigError(
            f"choice: must give each of {', '.join(STAGES)} one of {', '.join(NORMS)}, "
            f"got {short(choice)}"
        )
