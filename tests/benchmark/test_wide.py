"""The wide table is kept, its surrogate predicts what was left out, and its benchmark serves it."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from normsearch.benchmark.wide import (
    Surrogate,
    WideBenchmark,
    WideTable,
    held_out_fit,
    load_wide_table,
    save_wide_table,
    slot_names,
)
from normsearch.errors import ConfigError, DataError
from tests.benchmarks import record_wide
from tests.benchmarks.record_table import record

SAMPLES = (400, 800, 1200)
NOISE = 0.02


def true_score(frame: pd.DataFrame) -> np.ndarray:
    """Made up: IN helps in every slot, and a rate of 0.3 is best."""
    share = np.mean([frame[slot] == "IN" for slot in slot_names()], axis=0)
    return np.asarray(0.4 + 0.8 * share - 0.1 * np.abs(np.log(frame["learning_rate"] / 0.3)))


def made_up(count: int = 300) -> WideTable:
    rng = np.random.default_rng(0)
    rows = record_wide.trainings(record_wide.random_configurations(), 0, count)
    frame = pd.DataFrame(rows, columns=[*slot_names(), "learning_rate", "batch_size", "seed"])
    final = true_score(frame) + rng.normal(0, NOISE, len(frame))
    for point in range(1, len(SAMPLES) + 1):
        frame[f"score{point}"] = np.clip(final * point / 3, 0, 1).round(4)
        frame[f"seconds{point}"] = 16.0 * point / frame["batch_size"]
    frame.loc[3, ["score2", "score3", "seconds2", "seconds3"]] = np.nan  # failed
    return WideTable(frame, SAMPLES, {"data": "made up"})


@pytest.fixture(scope="module")
def table() -> WideTable:
    return made_up()


@pytest.fixture(scope="module")
def surrogate(table: WideTable) -> Surrogate:
    return Surrogate(table)


def choice(**changed: Any) -> dict[str, Any]:
    return dict.fromkeys(slot_names(), "IN") | {"learning_rate": 0.3, "batch_size": 4} | changed


def test_a_table_is_read_as_it_was_written(table: WideTable, tmp_path: Path) -> None:
    for name in "ab":
        save_wide_table(table, tmp_path / name)
    read = load_wide_table(tmp_path / "a")
    pd.testing.assert_frame_equal(read.frame, table.frame)
    assert read.samples == SAMPLES
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:50])
    with pytest.raises(DataError, match="must be a table of wide trainings"):
        load_wide_table(tmp_path / "a")


def test_the_seeds_of_a_configuration_share_its_number(table: WideTable) -> None:
    counts = np.bincount(table.configuration)
    assert len(counts) == 300
    assert list(counts[:6]) == [3, 1, 1, 1, 1, 3]


def test_held_out_configurations_are_ranked(table: WideTable) -> None:
    fit = held_out_fit(table)
    assert 0.6 < fit.correlation < fit.ceiling
    assert fit.error < 0.1


def test_a_training_varies_as_real_ones_do(surrogate: Surrogate) -> None:
    bench = WideBenchmark(surrogate=surrogate)
    final = [bench.train(choice()).score[-1] for _ in range(100)]
    truth = bench.truth(choice())
    assert np.std(final) == pytest.approx(NOISE, rel=0.4)
    assert np.mean(final) == pytest.approx(truth, abs=0.01)
    assert bench.truth(choice(learning_rate=0.03)) < truth
    again = WideBenchmark(surrogate=surrogate)
    assert [again.train(choice()).score[-1] for _ in range(3)] == final[:3]


def test_seconds_depend_on_the_batch(surrogate: Surrogate) -> None:
    bench = WideBenchmark(surrogate=surrogate)
    small, large = (bench.train(choice(batch_size=size)).seconds[-1] for size in (2, 16))
    assert small > 3 * large


def test_optuna_searches_it(surrogate: Surrogate) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    bench = WideBenchmark(surrogate=surrogate)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    study.optimize(bench.objective, n_trials=10)
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}
    assert set(study.best_params) == set(bench.space)
    assert 0 < bench.truth(study.best_params) < 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 2.0}, "learning_rate must be in 0.03 to 1.0"),
        ({"learning_rate": "a"}, "learning_rate must be in 0.03 to 1.0"),
        ({"batch_size": 3}, "batch_size one of 2, 4, 8, 16"),
        ({"enc1.conv1.norm": "XN"}, "enc1.conv1.norm must be one of none, BN"),
        ({"more": 1}, "must have the keys"),
    ],
)
def test_what_is_outside_is_refused(
    surrogate: Surrogate, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        WideBenchmark(surrogate=surrogate).train(choice(**changed))


def test_seeds_are_needed(table: WideTable) -> None:
    single = table.frame.drop_duplicates([*slot_names(), "learning_rate", "batch_size"])
    with pytest.raises(DataError, match="must have a configuration with two seeds"):
        Surrogate(WideTable(single, SAMPLES, {}))


def test_a_table_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none\.csv\.gz: must be .*, and is no file; .* record one"
    ):
        load_wide_table(tmp_path / "none.csv.gz")
    for given in (None, 3):
        with pytest.raises(ConfigError, match=rf"path must be a file, got {given}; .* record one"):
            load_wide_table(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, 3])
def test_a_surrogate_must_be_given(given: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"surrogate must be Surrogate\(load_.*, got {given}; .* ships none: record",
    ):
        WideBenchmark(surrogate=given)


def test_the_seed_of_the_noise_is_a_whole_number(surrogate: Surrogate) -> None:
    with pytest.raises(ConfigError, match="seed: must be a whole number of 0 or more, got 'a'"):
        WideBenchmark(seed="a", surrogate=surrogate)  # type: ignore[arg-type]


def test_recordings_of_any_order_are_packed_alike(tmp_path: Path) -> None:
    wanted = record_wide.trainings(record_wide.random_configurations(), 0, 6)
    points = 9

    def made(choice: tuple[Any, ...]) -> dict[str, Any]:
        curve = [round(0.01 * choice[-1] + 0.05 * point, 4) for point in range(points)]
        return {"choice": list(choice), "score": curve, "seconds": curve, "fail": None}

    about = record_wide.about_wide()
    first, last = tmp_path / "random_a.jsonl", tmp_path / "random_b.jsonl"
    record(first, wanted[:4], about, made, "choice")
    record(last, wanted[4:], about, made, "choice")
    there, back = record_wide.pack([first, last]), record_wide.pack([last, first])
    pd.testing.assert_frame_equal(there.frame, back.frame)
    assert list(there.frame["seed"]) == [choice[-1] for choice in wanted]
    with pytest.raises(DataError, match="all 1000 random configurations, 994 are missing"):
        record_wide.best_of([first, last])


def test_variations_are_near_the_best() -> None:
    best = record_wide.random_configurations()[:3]
    for varied in record_wide.near_configurations(best)[:50]:
        changes = min(sum(a != b for a, b in zip(varied, one, strict=True)) for one in best)
        assert changes <= record_wide.CHANGES
