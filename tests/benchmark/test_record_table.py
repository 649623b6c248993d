"""A recording resumes, refuses other settings, and is packed alike in whatever order."""

import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.benchmark.setup import SETUPS
from normsearch.benchmark.table import load_table, save_table
from normsearch.errors import DataError
from tests.benchmarks.record_table import combinations, pack, provenance, record

ABOUT = provenance("hippocampus", 3)
POINTS = SETUPS["hippocampus"].plan.evaluations


class Trainer:
    """Makes up a line from the norms, and remembers what it was asked."""

    def __init__(self, limit: int = 10_000) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.limit = limit

    def __call__(self, norms: tuple[str, ...]) -> dict[str, Any]:
        if len(self.asked) == self.limit:
            raise KeyboardInterrupt
        self.asked.append(norms)
        points = 4 if norms == ("none",) * 4 else POINTS  # one training fails
        score = [round(0.05 * (point + norms.count("BN")), 4) for point in range(points)]
        seconds = [float(point + 1) for point in range(points)]
        return {"norms": list(norms), "score": score, "seconds": seconds, "fail": None}


def test_a_killed_recording_resumes_after_its_last_whole_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, wanted = tmp_path / "a.jsonl", combinations()[:6]
    killed, resumed, idle = Trainer(3), Trainer(), Trainer()
    with pytest.raises(KeyboardInterrupt):
        record(path, wanted, ABOUT, killed)
    with path.open("a") as file:
        file.write('{"norms": ["BN", "B')  # a kill within a line
    record(path, wanted, {**ABOUT, "recorded": "2030-01-01"}, resumed)
    record(path, wanted, ABOUT, idle)
    assert killed.asked + resumed.asked == wanted
    assert idle.asked == []
    assert [json.loads(line)["norms"] for line in path.read_text().splitlines()] == [
        list(norms) for norms in wanted
    ]
    assert "a.jsonl: 6 of 6, 0.00 h left" in capsys.readouterr().out


def test_a_recording_in_other_settings_is_refused(tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.jsonl", combinations()[:2]
    record(path, wanted[:1], ABOUT, Trainer())
    for key, other in (("seed", 4), ("learning_rate", 0.1), ("versions", {"torch": "1.0"})):
        trainer = Trainer()
        with pytest.raises(DataError, match=rf"a\.jsonl: {key} must be .*record into another"):
            record(path, wanted, {**ABOUT, key: other}, trainer)
        assert trainer.asked == []


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    record(path, combinations()[:1], ABOUT, Trainer())
    whole = path.read_text()
    path.write_text(whole + '{"norms": ["BN"\n' + whole)
    with pytest.raises(DataError, match=r"a\.jsonl: line 2 must be the JSON of a training, got"):
        pack([path])
    with pytest.raises(DataError, match=r"b\.jsonl: must be a recording, and there is none"):
        pack([tmp_path / "b.jsonl"])
    path.write_text(whole + '{"norms": ["BN"')  # cut off by a kill
    with pytest.raises(DataError, match="must hold all 1296 trainings, 1295 are missing"):
        pack([path])


def test_the_order_of_recording_leaves_no_trace(tmp_path: Path) -> None:
    every = combinations()
    whole, first, last = (tmp_path / f"{name}.jsonl" for name in ("whole", "first", "last"))
    record(whole, every, ABOUT, Trainer())
    record(first, every[:500], ABOUT, Trainer())
    record(last, every[:499:-1], ABOUT, Trainer())
    for name, paths in (("a", [whole]), ("b", [last, first])):
        save_table(pack(paths), tmp_path / f"{name}.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    table = load_table(tmp_path / "a.csv.gz")
    assert table.seeds == (3,)
    assert table.provenance["data_set"] == "hippocampus"
    assert len(table.samples) == POINTS
    assert table.final[table.row["none", "none", "none", "none"]] == 0
    assert table.final[table.row["BN", "IN", "BN", "BN"]] == pytest.approx(0.05 * (POINTS + 2))
    with pytest.raises(
        DataError, match=r"first\.jsonl: must hold all 1296 trainings, 796 are miss"
    ):
        pack([first])
