"""The table that ships, and what reading a broken one says."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from normsearch.benchmark.table import (
    NORMS,
    STAGES,
    Table,
    load_table,
    save_table,
    table_space,
)
from normsearch.errors import DataError


def test_the_shipped_table_holds_every_configuration() -> None:
    table = load_table()
    assert set(table.choices) == set(itertools.product(NORMS, repeat=len(STAGES)))
    assert len(table.choices) == 1296
    assert table.score.shape == table.seconds.shape == (1296, 9)
    assert len(table.samples) == 9
    assert (np.diff(table.samples) > 0).all()
    known = ~np.isnan(table.score)
    assert (known == ~np.isnan(table.seconds)).all()
    assert (known[:, :-1] >= known[:, 1:]).all()  # a failed training has no later points
    assert ((table.score[known] >= 0) & (table.score[known] <= 1)).all()
    assert (np.diff(table.seconds, axis=1)[known[:, 1:]] > 0).all()
    assert {"recorded", "versions", "network", "learning_rate"} <= table.provenance.keys()


def test_the_shipped_table_is_worth_searching() -> None:
    final = load_table().final
    single = [final[load_table().row[(norm,) * 4]] for norm in NORMS]
    assert final.max() > max(single)
    assert np.ptp(single) > 0.01


def test_the_space_of_the_table_offers_its_rows() -> None:
    space = table_space()
    assert [unit.name for unit in space.units] == list(STAGES)
    assert all(unit.choices == NORMS for unit in space.units)
    assert space.size == 1296


def test_a_saved_table_is_read_back(tmp_path: Path) -> None:
    table = Table(
        (("none", "BN", "IN", "LN"), ("SN", "SN", "SN", "SN")),
        np.array([[0.25, 0.5], [0.1, np.nan]]),
        np.array([[1.0, 2.0], [1.5, np.nan]]),
        (10, 20),
        {"recorded": "2026-01-01"},
    )
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
