"""A wide search space for benchmarks: a norm for each layer, a learning rate and a batch size.

Its 17 slots, six norms, rates and batch sizes have too many combinations to train them all. The
table holds real trainings of some, and `Surrogate`, fitted to them, stands for the rest.
``tests/benchmarks/record_wide.py`` records.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from scipy import stats

from normsearch.benchmark.adapters import RecordedTraining, reported
from normsearch.benchmark.table import DEPTH, FIRST_CHANNELS, NORMS, check_whole_number
from normsearch.errors import ConfigError, DataError, short
from normsearch.files.json_file import parse_json
from normsearch.networks import build_network, list_norms

Array = npt.NDArray[np.float64]

LEARNING_RATES = (0.03, 1.0)  # log-uniform
BATCH_SIZES = (2, 4, 8, 16)
_RECORD = "this version ships none: record one with python -m tests.benchmarks.record_wide"
_NEIGHBOURS = 40
_TREES = 200


@cache
def slot_names() -> tuple[str, ...]:
    """Return the names of the network's norm slots, from the input to the output."""
    network = build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH)
    return tuple(slot.name for slot in list_norms(network))


@dataclass(frozen=True, eq=False)
class WideTable:
    """Real trainings of the wide space.

    Attributes:
        frame: one row a training: a column for each slot (a norm), ``learning_rate``,
            ``batch_size``, ``seed``, ``origin`` (``random``, or ``near`` for variations of good
            configurations), ``score1`` and on (Dice, 0 to 1, empty after the training failed), and
            ``seconds1`` and on (CPU seconds since it began).
        samples: samples seen at each evaluation point, with batch size 1.
        provenance: settings, versions and date of the recording.
    """

    frame: pd.DataFrame
    samples: tuple[int, ...]
    provenance: Mapping[str, Any]

    @cached_property
    def score(self) -> Array:
        """Learning curves, (trainings, evaluations); NaN after a training failed."""
        return self._curves("score")

    @cached_property
    def seconds(self) -> Array:
        """CPU seconds, (trainings, evaluations), NaN likewise."""
        return self._curves("seconds")

    @cached_property
    def configuration(self) -> npt.NDArray[np.int64]:
        """A number for each training; those of one configuration share it."""
        keys = [*slot_names(), "learning_rate", "batch_size"]
        return self.frame.groupby(keys, sort=False).ngroup().to_numpy().astype(np.int64)

    def _curves(self, name: str) -> Array:
        columns = [f"{name}{point}" for point in range(1, len(self.samples) + 1)]
        return self.frame[columns].to_numpy(np.float64)


def load_wide_table(path: str | Path) -> WideTable:
    """Read a file of wide trainings.

    Raises:
        ConfigError: `path` is no path.
        DataError: the file is not there, or is not one of recorded trainings.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"load_wide_table: path must be a file, got {short(path)}; {_RECORD}")
    if not Path(path).is_file():
        raise DataError(f"{path}: must be a table of wide trainings, and is no file; {_RECORD}")
    try:
        first, _, rest = gzip.decompress(Path(path).read_bytes()).decode().partition("\n")
        provenance = parse_json(first)
        frame = pd.read_csv(io.StringIO(rest), dtype=dict.fromkeys(slot_names(), str),
                            keep_default_na=False, na_values=[""])  # fmt: skip
        table = WideTable(frame, tuple(provenance["samples"]), provenance)
        _ = table.score, table.seconds, table.configuration
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: must be a table of wide trainings: {error}") from error
    return table


def save_wide_table(table: WideTable, path: Path) -> None:
    """Write a table as one line of JSON and CSV, gzipped; equal tables give equal bytes."""
    first = json.dumps({**table.provenance, "samples": table.samples})
    text = first + "\n" + table.frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def encoded(frame: pd.DataFrame) -> Array:
    """Return the configurations as numbers: each slot's norm one-hot, log rate, log2 batch size."""
    norms = [(frame[slot] == norm).to_numpy(float) for slot in slot_names() for norm in NORMS]
    rate = np.log(frame["learning_rate"].to_numpy(float))
    return np.column_stack([*norms, rate, np.log2(frame["batch_size"].to_numpy(float))])


@dataclass(frozen=True)
class Fit:
    """How well the surrogate predicts trainings of configurations that it was not fitted to.

    Attributes:
        correlation: Spearman's rank correlation of predicted and real final scores.
        error: median absolute error of the final score.
        ceiling: rank correlation between two seeds of one configuration: what a perfect surrogate
            would reach.
    """

    correlation: float
    error: float
    ceiling: float


class Surrogate:
    """Extremely randomized trees (Geurts et al. 2006) of curve and seconds, with real noise.

    A training is the predicted curve plus the deviation of a real training from the mean of its
    configuration, drawn from the configurations with several seeds whose final score is nearest to
    the predicted one. A failed training counts as 0 from where it failed.

    Args:
        table: the trainings it is fitted to; some configurations must have two seeds or more.

    Raises:
        DataError: no configuration has two seeds.
    """

    def __init__(self, table: WideTable) -> None:
        self.samples = table.samples
        known = encoded(table.frame)
        score = np.nan_to_num(table.score)
        taken = np.log(pd.DataFrame(table.seconds).ffill(axis=1).fillna(0.01).to_numpy())
        self._trees = _trees().fit(known, np.hstack([score, taken]))
        self._level, self._deviation = _deviations(score, table.configuration)

    def curves(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """Return expected scores and CPU seconds, (configurations, evaluations).

        `frame` has the columns of `WideTable.frame` for slots, learning rate and batch size.
        """
        score, taken = np.hsplit(np.asarray(self._trees.predict(encoded(frame))), 2)
        return score, np.exp(taken)

    def draw(self, expected: Array, rng: np.random.Generator) -> Array:
        """Return one training's scores, 0 to 1, around the expected ones, (evaluations,)."""
        near = np.argsort(np.abs(self._level - expected[-1]), kind="stable")[:_NEIGHBOURS]
        drawn: Array = np.clip(expected + self._deviation[rng.choice(near)], 0.0, 1.0)
        return drawn


def held_out_fit(table: WideTable, *, folds: int = 5) -> Fit:
    """Return how well a surrogate predicts configurations that it was not fitted to."""
    from sklearn.model_selection import GroupKFold

    known, groups = encoded(table.frame), table.configuration
    final = np.nan_to_num(table.score[:, -1])
    found = np.zeros_like(final)
    for fitted, kept in GroupKFold(folds).split(known, groups=groups):
        found[kept] = _trees().fit(known[fitted], final[fitted]).predict(known[kept])
    pairs = _pairs(final, groups)
    return Fit(
        float(stats.spearmanr(found, final).statistic),
        float(np.median(np.abs(found - final))),
        float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic),
    )


class WideBenchmark:
    """The wide space for optimizers, served by the surrogate of recorded trainings.

    Trainings of one configuration differ as those with other seeds do; `truth` is what they have in
    common. Make a new object for each run of an optimizer.

    Args:
        seed: of the noise.
        surrogate: of the trainings; it must be given, as no table ships with this version.

    Raises:
        ConfigError: the surrogate is none, or the seed is not a whole number of 0 or more.
    """

    def __init__(self, *, seed: int = 0, surrogate: Surrogate | None = None) -> None:
        check_whole_number("seed", seed, 0)
        if not isinstance(surrogate, Surrogate):
            raise ConfigError(
                "WideBenchmark: surrogate must be Surrogate(load_wide_table(PATH)), got "
                f"{short(surrogate)}; {_RECORD}"
            )
        self._surrogate = surrogate
        self._rng = np.random.default_rng(seed)

    @property
    def space(self) -> dict[str, Any]:
        """The norms of each slot, the bounds of the log-uniform learning rate, and batch sizes."""
        norms: dict[str, Any] = dict.fromkeys(slot_names(), NORMS)
        return {**norms, "learning_rate": LEARNING_RATES, "batch_size": BATCH_SIZES}

    def train(self, choice: Mapping[str, Any]) -> RecordedTraining:
        """Return another training of a configuration, with the keys of `space`.

        Raises:
            ConfigError: the configuration is not in the space.
        """
        expected, seconds = self._surrogate.curves(self._frame(choice))
        score = self._surrogate.draw(expected[0], self._rng)
        return RecordedTraining(
            tuple(map(float, score)), tuple(map(float, seconds[0])), self._surrogate.samples
        )

    def objective(self, trial: optuna.Trial) -> float:
        """Return the last score of what an Optuna trial suggests, to be maximized.

        Every evaluation is reported and may prune the trial, as in `Benchmark.objective`.
        """
        choice: dict[str, Any] = {
            slot: trial.suggest_categorical(slot, NORMS) for slot in slot_names()
        }
        choice["learning_rate"] = trial.suggest_float("learning_rate", *LEARNING_RATES, log=True)
        choice["batch_size"] = trial.suggest_categorical("batch_size", BATCH_SIZES)
        return reported(trial, self.train(choice))

    def truth(self, choice: Mapping[str, Any]) -> float:
        """Return the expected last score of a configuration, 0 to 1.

        Raises:
            ConfigError: the configuration is not in the space.
        """
        return float(self._surrogate.curves(self._frame(choice))[0][0, -1])

    def _frame(self, choice: Mapping[str, Any]) -> pd.DataFrame:
        low, high = LEARNING_RATES
        if not isinstance(choice, Mapping) or set(choice) != set(self.space):
            raise ConfigError(
                f"choice: must have the keys {', '.join(self.space)}, got {short(choice)}"
            )
        for slot in slot_names():
            if choice[slot] not in NORMS:
                raise ConfigError(
                    f"choice: {slot} must be one of {', '.join(NORMS)}, got {choice[slot]!r}"
                )
        rate = choice["learning_rate"]
        known = isinstance(rate, (int, float, np.number)) and low <= rate <= high
        if choice["batch_size"] not in BATCH_SIZES or not known:
            raise ConfigError(
                f"choice: learning_rate must be in {low} to {high} and batch_size one of "
                f"{', '.join(map(str, BATCH_SIZES))}, got {choice['learning_rate']!r} and "
                f"{choice['batch_size']!r}"
            )
        return pd.DataFrame([dict(choice)])


def _deviations(score: Array, configuration: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the final score and the deviation from the mean of trainings with other seeds beside.

    Deviations from a mean of n are scaled by sqrt(n / (n - 1)), to vary as single trainings do.
    """
    frame = pd.DataFrame(score)
    groups = frame.groupby(configuration)
    size = groups[0].transform("size").to_numpy()
    mean = groups.transform("mean").to_numpy()
    several = size > 1
    if not several.any():
        raise DataError("table: must have a configuration with two seeds or more, and has none")
    factor = np.sqrt(size / np.maximum(size - 1, 1))[:, None]
    deviation = (frame.to_numpy() - mean) * factor
    return mean[several, -1], deviation[several]


def _pairs(final: Array, configuration: npt.NDArray[np.int64]) -> Array:
    """Return the final scores of the first two trainings of each configuration with several."""
    groups = pd.Series(final).groupby(configuration)
    return np.array([scores.to_numpy()[:2] for _, scores in groups if len(scores) > 1])


def _trees() -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=0)
