"""The table that ships, and what reading a broken one says."""

import gzip
import itertools
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from normsearch.benchmark.table import (
    NORMS,
    STAGES,
    Table,
    load_table,
    save_table,
    shipped_seeds,
    table_space,
)
from normsearch.errors import ConfigError, DataError


def test_the_shipped_table_holds_every_configuration() -> None:
    table = load_table(seeds=(0,))
    assert table.seeds == (0,)
    assert set(table.choices) == set(itertools.product(NORMS, repeat=len(STAGES)))
    assert len(table.choices) == 1296
    assert table.score.shape == table.seconds.shape == (1, 1296, 9)
    assert len(table.samples) == 9
    assert (np.diff(table.samples) > 0).all()
    known = ~np.isnan(table.score)
    assert (known == ~np.isnan(table.seconds)).all()
    assert (known[:, :, :-1] >= known[:, :, 1:]).all()  # a failed training has no later points
    assert ((table.score[known] >= 0) & (table.score[known] <= 1)).all()
    assert (np.diff(table.seconds, axis=2)[known[:, :, 1:]] > 0).all()
    assert {"recorded", "versions", "network", "learning_rate"} <= table.provenance.keys()


def test_the_shipped_table_is_worth_searching() -> None:
    table = load_table(seeds=(0,))
    final = table.final
    single = [final[table.row[(norm,) * 4]] for norm in NORMS]
    assert final.max() > max(single)
    assert np.ptp(single) > 0.01


def test_the_space_of_the_table_offers_its_rows() -> None:
    space = table_space()
    assert [unit.name for unit in space.units] == list(STAGES)
    assert all(unit.choices == NORMS for unit in space.units)
    assert space.size == 1296


def two_rows(seed: int, **provenance: str) -> Table:
    return Table(
        (("none", "BN", "IN", "LN"), ("SN", "SN", "SN", "SN")),
        np.array([[[0.25 + seed / 8, 0.5], [0.1, np.nan]]]),
        np.array([[[1.0, 2.0], [1.5, np.nan]]]),
        (10, 20),
        (seed,),
        {"recorded": "2026-01-01", **provenance},
    )


def test_a_saved_table_is_read_back(tmp_path: Path) -> None:
    table = two_rows(0)
    save_table(table, tmp_path / "a.csv.gz")
    save_table(table, tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    read = load_table(tmp_path / "a.csv.gz")
    assert read.choices == table.choices
    assert read.samples == (10, 20)
    assert read.provenance["recorded"] == "2026-01-01"
    np.testing.assert_array_equal(read.score, table.score)
    np.testing.assert_array_equal(read.seconds, table.seconds)
    assert read.final.tolist() == [0.5, 0.0]


def test_files_of_several_seeds_are_one_table(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.csv.gz" for seed in (2, 0, 1)]
    for seed, path in zip((2, 0, 1), paths, strict=True):
        save_table(two_rows(seed), path)
    table = load_table(*paths)
    assert table.seeds == (0, 1, 2)
    assert table.score[:, 0, 0].tolist() == [0.25, 0.375, 0.5]
    assert table.finals.tolist() == [[0.5, 0.0]] * 3
    assert table.final.tolist() == [0.5, 0.0]
    with pytest.raises(ValueError, match=r"must have one seed, got \[0, 1, 2\]"):
        save_table(table, tmp_path / "all.csv.gz")


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, same, other = (tmp_path / f"{name}.csv.gz" for name in ("one", "same", "other"))
    save_table(two_rows(0), one)
    save_table(two_rows(0), same)
    save_table(two_rows(1, data="elsewhere"), other)
    with pytest.raises(DataError, match=r"same\.csv\.gz: must hold another seed than .*one\.csv"):
        load_table(one, same)
    with pytest.raises(DataError, match=r"other\.csv\.gz: must have the data of .*one\.csv\.gz"):
        load_table(one, other)


def test_one_file_given_twice_is_refused(tmp_path: Path) -> None:
    save_table(two_rows(0), tmp_path / "one.csv.gz")
    with pytest.raises(DataError, match="must hold another seed"):
        load_table(tmp_path / "one.csv.gz", tmp_path / "one.csv.gz")


def test_only_shipped_data_sets_and_seeds_are_found() -> None:
    for data_set, seeds in shipped_seeds().items():
        assert load_table(data_set=data_set).seeds == seeds
    with pytest.raises(DataError, match=r"data_set: must be one of .*sunnybrook, got 'heart'"):
        load_table(data_set="heart")
    with pytest.raises(DataError, match=r"seeds: must be among \[0.*got \(99,\)"):
        load_table(seeds=(99,))
    with pytest.raises(DataError, match=r"at least one, got \(\)"):
        load_table(seeds=())
    for seeds in ([True], [0.0], ["0"], [None], 0):
        with pytest.raises(DataError, match=r"seeds: must be among \[0.*got "):
            load_table(seeds=seeds)  # type: ignore[arg-type]
    assert load_table(seeds=np.array([1])).seeds == (1,)  # type: ignore[arg-type]


def test_paths_are_paths_and_leave_out_what_chooses_a_shipped_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"load_table: paths must be files .*, got 9; "):
        load_table(9)  # type: ignore[arg-type]
    save_table(two_rows(0), tmp_path / "a.csv.gz")
    with pytest.raises(ConfigError, match=r"must be left out .* got 'hippocampus' and None"):
        load_table(tmp_path / "a.csv.gz", data_set="hippocampus")
    with pytest.raises(ConfigError, match=r"must be left out .* got None and \(0,\)"):
        load_table(tmp_path / "a.csv.gz", seeds=(0,))


def test_the_shipped_files_are_small() -> None:
    folder = Path(str(files("normsearch.benchmark")))
    assert sum(path.stat().st_size for path in folder.glob("*.gz")) < 5_000_000


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"no gzip",
        gzip.compress(b"no json\n", mtime=0),
        gzip.compress(b"{}\nlevel1\n", mtime=0),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "table.csv.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv\.gz: must be a table of recorded trainings: "):
        load_table(path)
