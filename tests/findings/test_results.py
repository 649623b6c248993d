"""Results: what they hold, which one counts, and that docs/findings.md shows them."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from normsearch.analysis.recorded_results import SHIPPED, read_results
from normsearch.errors import StudyError
from normsearch.findings.registration import all_statements, find_experiment
from normsearch.findings.results import (
    MARKS,
    judge,
    largest_scale,
    table_of_results,
    toy_results,
    write_result,
    write_table,
)
from tests.findings.fake_measured import scored

ROOT = Path(__file__).resolve().parents[2]
SPINE = ["none", "BN", "GN-2", "GN-4", "GN-8", "IN"]
PENDING: set[str] = set()  # findings whose toy run is still to be done
OUTCOMES = ("reproduced", "contradicted", "not distinguishable")


def s1(shift: float = 0.2, scale: str = "toy") -> dict[str, Any]:
    experiment, _ = find_experiment("S1", scale)
    arms = [{"norm": norm} for norm in [*SPINE, "GN-16", "GN-32"]]
    measured = {"main": scored(arms, lambda arm: 0.6 + shift * (arm["norm"] != "none"))}
    return judge(experiment, "S1", scale, measured)


def test_a_positive_toy_result_is_one_of_a_direction() -> None:
    assert s1()["told"].startswith("Direction reproduced at this scale. Holds: BN above none")
    assert s1(-0.2)["told"].startswith("Contradicted at this scale. ")
    assert s1(scale="paper")["told"].startswith("Reproduced. ")


def test_a_result_says_what_was_registered_and_counted() -> None:
    result = s1()
    experiment, _ = find_experiment("s1", "toy")
    assert result["sha256"] == experiment.sha256
    assert (result["trainings"], result["seeds"], result["cases"]) == (32, 4, 15)
    assert result["paper"] == "none .598; BN .888, GN .916 to .941, IN .960"
    assert (result["scale"], result["diverged"]) == ("toy", 0)


def test_results_are_written_as_json_without_nan_and_the_latest_counts(tmp_path: Path) -> None:
    result = {**s1(), "date": "2026-01-02T00:00:00+00:00", "low": math.nan}
    path = write_result(tmp_path / "a", result)
    assert path.name == "S1-toy.json"
    assert json.loads(path.read_text())["low"] is None
    write_result(tmp_path / "b", {**result, "date": "2026-01-03T00:00:00+00:00", "low": 0.5})
    latest = read_results([tmp_path / "b", tmp_path / "a"])
    assert latest["S1", "toy"]["low"] == 0.5
    assert largest_scale(latest, "S1") == "toy"
    assert largest_scale(latest, "S2") is None


def test_a_file_that_is_no_result_is_told(tmp_path: Path) -> None:
    (tmp_path / "S1-toy.json").write_text("{}")
    with pytest.raises(StudyError, match=r"S1-toy.json: must be the result of a finding"):
        read_results([tmp_path])


def test_a_table_needs_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "findings.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    results = {("S1", "toy"): s1()}
    write_table(page, results)
    table = table_of_results(toy_results(results))
    assert page.read_text() == f"before\n{MARKS[0]}\n{table}{MARKS[1]}\nafter\n"
    assert "| S1 | Every norm beats none at batch size 1. | none .598;" in table
    assert "| reproduced, direction only |" in table
    statement = {"finding": "S2", "text": "t", "paper": "p"}
    assert table_of_results([statement]).endswith("| S2 | t | p | – | not run yet |\n")
    page.write_text("nothing")
    with pytest.raises(StudyError, match="must hold <!-- findings"):
        write_table(page, results)


def test_every_finding_has_a_toy_result_of_what_is_registered_now() -> None:
    results = read_results([SHIPPED])
    assert {name for name in all_statements() if (name, "toy") not in results} == PENDING
    for name in set(all_statements()) - PENDING:
        result = results[name, "toy"]
        experiment, _ = find_experiment(name, "toy")
        statement = experiment.statements[name]
        assert result["sha256"] == experiment.sha256, name
        assert (result["text"], result["paper"]) == (statement.text, statement.paper)
        assert result["verdict"] in OUTCOMES
        assert result["experiment"] == experiment.name


def test_the_page_shows_the_table_of_the_results_that_ship() -> None:
    results = read_results([SHIPPED])
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    shown = text.partition(MARKS[0])[2].partition(MARKS[1])[0].lstrip("\n")
    assert shown == table_of_results(toy_results(results))


def test_the_readme_counts_the_verdicts() -> None:
    counts = Counter(result["verdict"] for result in read_results([SHIPPED]).values())
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"We registered {counts.total()} statements" in text
    reproduced, contradicted, unclear = (counts[outcome] for outcome in OUTCOMES)
    assert f"Of them {reproduced} were reproduced, {contradicted} contradicted, and" in text
    assert f"and {unclear} are not distinguishable" in text
