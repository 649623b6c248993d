import math
from pathlib import Path

import pytest

from normsearch.errors import DataError
from normsearch.files import table_file
from normsearch.files.table_file import (
    Column,
    as_number,
    as_one_of,
    as_text,
    as_whole,
    read_typed_table,
)

COLUMNS: dict[str, Column] = {
    "case": as_text,
    "evaluation": as_whole,
    "score": as_number,
    "unit": as_one_of("mm", "pixels"),
}


def read(path: Path, raw: str | bytes) -> dict[str, list[str | int | float]]:
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return read_typed_table(path, COLUMNS, others=as_number, optional=["unit"], key=["case"])


def test_cells_have_the_type_of_their_column(tmp_path: Path) -> None:
    raw = 'case,evaluation,score,tp_1\nNA,9,0.5,1e3\n001,9,1,2\n"a,\n""b",9,nan,\n'
    found = read(tmp_path / "t.csv", raw)
    assert found["case"] == ["NA", "001", 'a,\n"b']
    assert found["evaluation"] == [9, 9, 9]
    assert found["score"][:2] == [0.5, 1]
    assert math.isnan(float(found["score"][2]))
    assert found["tp_1"][:2] == [1000.0, 2]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "must be a table with a header, got an empty file"),
        ("case,score\na,1\n", "line 1: must be the columns case, .*, got no evaluation"),
        ("case,evaluation,score,case\n", "line 1: .* each once, got case, evaluation, score, case"),
        ("case,evaluation,score\na,1,0.5\nb,x,0.5\n", "line 3, column evaluation: must be a whole"),
        ("case,evaluation,score\na,-1,0.5\n", "column evaluation: .* got '-1'"),
        ("case,evaluation,score\na,1,\u0661\n", "line 2, column score: must be a number, got"),
        ("case,evaluation,score\na,1,1_0\n", "line 2, column score: must be a number, got '1_0'"),
        ("case,evaluation,score\na,1,inf\n", "line 2, column score: must be a number, got 'inf'"),
        ("case,evaluation,score,dice_1\na,1,1,x\n", "line 2, column dice_1: must be a number"),
        ("case,evaluation,score,unit\na,1,1,cm\n", "column unit: must be one of mm, pixels, got"),
        ("case,evaluation,score\na,1\n", "line 2: must have the 3 cells of the header, got 2"),
        ('case,evaluation,score\n"a,1,1\n', "each quote closed, got .* in line 2"),
        ("case,evaluation,score\na,1,1\na,1,1\n", "line 3: each case must come once"),
        (b"case,evaluation,score\n" + b"a" * 99 + b"\0,1,1", "got a NUL in line 2"),
        (b"case,evaluation,score\n\xfc,1,1", r"another encoding at byte 22 \(line 2\)"),
    ],
    ids=range(15),
)
def test_what_is_refused(raw: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"t\.csv: .*{message}") as info:
        read(tmp_path / "t.csv", raw)
    assert "\n" not in str(info.value)


def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "MOST_ROWS", 2)
    with pytest.raises(DataError, match="must have at most 2 rows"):
        read(tmp_path / "t.csv", "case,evaluation,score\na,1,1\nb,1,1\n")
