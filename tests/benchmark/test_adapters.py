"""The recorded table as a function and as an Optuna objective."""

import itertools
from typing import Any

import numpy as np
import optuna
import pytest

from normsearch.benchmark import Benchmark, Table, load_table
from normsearch.benchmark.table import NORMS, STAGES
from normsearch.errors import ConfigError, DataError

CHOICES = tuple(itertools.product(NORMS, repeat=len(STAGES)))
BN = dict.fromkeys(STAGES, "BN")


def benchmark(score: float = 0.5, fails: bool = False) -> Benchmark:
    """Two seeds and three points; the second seed is .1 higher."""
    curves = np.full((2, len(CHOICES), 3), score) + np.array([0, 0.1])[:, None, None]
    curves[:, :, 1:] += 0.2
    if fails:
        curves[:, :, 2] = np.nan
    seconds = np.where(np.isnan(curves), np.nan, [1.0, 2.0, 3.0])
    return Benchmark(table=Table(CHOICES, curves, seconds, (10, 20, 30), (0, 1), {}))


def test_the_shipped_table_is_a_function() -> None:
    table = load_table(seeds=(0,))
    training = Benchmark(table=table).train(BN)
    row = table.row[("BN",) * 4]
    assert training.score == tuple(table.score[0, row])
    assert training.seconds == tuple(table.seconds[0, row])
    assert training.samples == table.samples
    assert not training.failed
    assert Benchmark().space == dict.fromkeys(STAGES, NORMS)


def test_a_table_is_a_table_and_leaves_out_a_data_set() -> None:
    with pytest.raises(ConfigError, match=r"Benchmark: table must be a Table, .* got 3"):
        Benchmark(table=3)  # type: ignore[arg-type]
    table = benchmark().table
    with pytest.raises(
        ConfigError, match=r"data_set must be left out .* got both; .*'hippocampus'"
    ):
        Benchmark("hippocampus", table=table)
    assert Benchmark("sunnybrook").table.seeds == Benchmark().table.seeds


@pytest.mark.parametrize("seed", [-1, "a", 0.5, None, True])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(ConfigError, match="seed: must be a whole number of 0 or more, got"):
        Benchmark(seed=seed)  # type: ignore[arg-type]


def test_a_choice_is_judged_by_the_other_seed() -> None:
    made = benchmark()
    assert made.truth(BN) == pytest.approx(0.75)
    (last,) = made.train(BN).score[-1:]
    assert made.truth(BN) == pytest.approx(1.5 - last)
    assert made.regret(BN) == pytest.approx(last - 0.75)


@pytest.mark.parametrize(
    "choice",
    [
        *({"level1": "BN"}, {**BN, "level2": "BNN"}, {**BN, "level5": "BN"}, {}),
        *({**BN, "level2": None}, {**BN, "level2": ["BN"]}, None, 3, "BN", ["BN"] * 4),
    ],
)
def test_a_choice_that_is_not_in_the_table_is_refused(choice: Any) -> None:
    made = benchmark()
    for method in (made.train, made.truth, made.regret):
        with pytest.raises(
            ConfigError, match=r"choice: must give each of level1, .*, got "
        ) as told:
            method(choice)
        assert str(told.value).endswith(repr(choice))


@pytest.mark.parametrize("data_set", [3, ["sunnybrook"], "sunny"])
def test_a_data_set_that_does_not_ship_is_refused(data_set: Any) -> None:
    with pytest.raises(DataError, match="data_set: must be one of hippocampus, sunnybrook, got "):
        Benchmark(data_set)


@pytest.mark.parametrize("seeds", [3, (), "0", (7,), [[0]]])
def test_seeds_that_do_not_ship_are_refused(seeds: Any) -> None:
    with pytest.raises(DataError, match=r"seeds: must be among \[0, 1, 2, 3\], .*, got "):
        load_table(seeds=seeds)


def test_optuna_hears_every_evaluation() -> None:
    study = optuna.create_study(direction="maximize")
    study.optimize(benchmark().objective, n_trials=1)
    (trial,) = study.trials
    assert set(trial.params) == set(STAGES)
    assert list(trial.intermediate_values) == [1, 2, 3]
    assert trial.value == trial.intermediate_values[3]
    assert trial.user_attrs == {"samples": 30, "seconds": 3.0}


def test_optuna_prunes() -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.9, n_warmup_steps=1)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(benchmark().objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert trial.user_attrs["samples"] in (10, 20)


def test_a_failed_training_fails_the_trial() -> None:
    made = benchmark(fails=True)
    training = made.train(BN)
    assert training.failed
    assert len(training.score) == len(training.seconds) == 2
    study = optuna.create_study(direction="maximize")
    study.optimize(made.objective, n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.FAIL
    assert made.truth(BN) == 0
