"""`normsearch reproduce` and `list findings`, on a page of a user's own of seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.findings.pages import tiny

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def page(normsearch: Call) -> Path:
    """Return a page that lies in the working folder."""
    path = Path("mine.py")
    path.write_text(tiny())
    return path


def test_a_page_of_ones_own_is_run_judged_written_and_drawn(
    normsearch: Call, page: Path, data_set: Path
) -> None:
    given = ["--data", data_set, "--local"]
    first = normsearch("reproduce", page, *given)
    assert first.code == 0, first.err
    assert first.out.startswith("X1: IN beats none.\n")
    assert "Published: none .5" in first.out
    assert "drawn in results/X1-toy.png" in first.out
    assert Path("results/X2-toy.png").stat().st_size > 1000
    result = json.loads(Path("results/X1-toy.json").read_text())
    assert (result["trainings"], result["seeds"]) == (4, 2)
    assert {row["arm"] for row in result["trained"]["final"]} == {"none", "IN"}
    assert list(result["data"]) == ["squares"]
    assert {name.split("-")[3] for name in result["runs"]} == {"rates", "final"}
    mixture = json.loads(Path("results/X2-toy.json").read_text())
    assert {row["arm"] for row in mixture["trained"]["found"]} == {"none", "mixture"}

    again = normsearch("reproduce", page, *given, "--json")
    assert "finding-mine" not in again.err  # what is finished is not run again
    assert json.loads(again.out)[0]["contrasts"] == result["contrasts"]

    Path("runs").rename("gone")  # the tables of the result are enough
    judged = normsearch("reproduce", page, "--judge-again", "--json")
    assert judged.code == 0, judged.err
    assert json.loads(judged.out)[0]["contrasts"] == result["contrasts"]
    assert json.loads(judged.out)[0]["date"] == json.loads(again.out)[0]["date"]
    assert not Path("runs").exists()


def test_a_changed_page_trains_what_has_changed(
    normsearch: Call, page: Path, data_set: Path
) -> None:
    given = ["--data", data_set, "--local", "--json", "--output", "kept"]
    before = json.loads(normsearch("reproduce", page, *given).out)[0]
    other = Path("changed") / "mine.py"
    other.parent.mkdir()
    other.write_text(tiny("(5, 6, 7)"))
    refused = normsearch("reproduce", other, "--judge-again", "--output", "kept")
    assert refused.code == 1
    assert f"was registered as {before['sha256'][:12]}" in refused.err
    after = json.loads(normsearch("reproduce", other, *given).out)[0]
    assert before["sha256"] != after["sha256"]
    assert before["runs"][0] == after["runs"][0]  # the rates were not tried again
    assert before["runs"][1] != after["runs"][1]
    assert after["seeds"] == 3


def test_what_cannot_be_reproduced_is_told(normsearch: Call) -> None:
    unknown = normsearch("reproduce", "S77")
    assert unknown.code == 1
    assert "finding: must be one of " in unknown.err
    assert "got 'S77'" in unknown.err
    absent = normsearch("reproduce", "P1", "--judge-again")
    assert absent.code == 1
    assert "P1-toy.json: must be the result of P1 to be judged again" in absent.err
    assert "must be one of toy, small, paper" in normsearch("reproduce", "P1", "--scale", "x").err


def test_registered_findings_are_listed_with_their_verdicts(normsearch: Call) -> None:
    listed = json.loads(normsearch("list", "findings", "--json").out)
    assert next(iter(listed)) == "S1"
    assert all(": " in line for line in listed.values())
