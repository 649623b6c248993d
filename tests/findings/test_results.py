"""A verdict with all that is needed to judge it again, and the table of the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normsearch.analysis.recorded_results import estimate_of, read_result, read_results
from normsearch.errors import ConfigError, StudyError
from normsearch.findings import Measured
from normsearch.findings.page import read_page
from normsearch.findings.results import contrasts_of, result_of, write_result
from normsearch.findings.table import (
    MARKS,
    count_of_verdicts,
    table_of_results,
    toy_results,
    write_table,
)
from tests.findings.pages import tiny

ROOT = Path(__file__).resolve().parents[2]


def measured(gap: float, seeds: int = 4) -> Measured:
    """IN above none by `gap` in two cases, with a little spread."""
    random = np.random.default_rng(0)
    keys = [(n, norm, seed) for n, (seed, norm) in enumerate(
        (seed, norm) for seed in range(seeds) for norm in ("none", "IN"))]  # fmt: skip
    trials = [
        {"number": n, "arm": norm, "norm": norm, "seed": seed, "fold": "None", "state": "COMPLETE",
         "score": 0.5 + gap * (norm == "IN"), "loss": 0.1, "seconds": 3600.0, "samples": 1}
        for n, norm, seed in keys
    ]  # fmt: skip
    cases = [
        {"number": n, "norm": norm, "seed": seed, "case": case,
         "score": 0.5 + gap * (norm == "IN") + random.normal(0, 0.001)}
        for n, norm, seed in keys for case in "abc"
    ]  # fmt: skip
    return Measured(trials=pd.DataFrame(trials), cases=pd.DataFrame(cases))


def judged(folder: Path, final: Measured) -> dict[str, Any]:
    path = folder / "mine.py"
    path.write_text(tiny())
    page = read_page(path)
    finding, tables = page.findings["X1"], {"final": final}
    return result_of(page, finding, "toy", tables, contrasts_of(page, finding, tables))


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    return judged(tmp_path, measured(0.1))


def test_a_result_says_what_was_found_and_from_what(result: dict[str, Any]) -> None:
    assert result["verdict"] == "reproduced"
    assert result["told"] == "Direction reproduced at this scale. Holds: IN above none."
    (contrast,) = result["contrasts"]
    assert contrast["estimate"] == pytest.approx(0.1, abs=0.01)
    assert np.shape(contrast["values"]) == (4, 3)
    assert len(result["trained"]["final"]) == 8
    assert (result["trainings"], result["seeds"], result["cases"]) == (8, 4, 3)
    assert result["advice"] == ""
    assert (result["experiment"], result["source"]) == ("mine", "made up")


def test_an_open_verdict_says_what_it_could_have_seen_and_what_the_paper_takes(
    tmp_path: Path,
) -> None:
    noisy = measured(0.0)
    noise = np.random.default_rng(1).normal(0, 0.2, len(noisy.cases))
    cases = noisy.cases.assign(score=noisy.cases["score"] + noise)
    found = judged(tmp_path, Measured(trials=noisy.trials, cases=cases))
    assert found["verdict"] == "not distinguishable"
    assert "would have been found in 80% of such studies" in found["told"]
    assert "0.2 takes" in found["told"] or "0.2 needs more cases" in found["told"]
    assert found["advice"] == "Train longer."


def test_a_written_result_is_read_again(result: dict[str, Any], tmp_path: Path) -> None:
    path = write_result(
        tmp_path, {**result, "date": "2026-11-26T00:00:00+00:00", "x": float("nan")}
    )
    assert path.name == "X1-toy.json"
    again = read_result(path)
    assert again["contrasts"][0]["name"] == "IN above none"
    assert json.loads(path.read_text())["x"] is None
    path.write_text("{}")
    with pytest.raises(StudyError, match="must be the result of a finding"):
        read_result(path)


def test_a_ratio_is_shown_as_one() -> None:
    shown = {"estimate": 0.0, "low": np.log(0.9), "high": None, "ratio": True}
    assert estimate_of(shown) == "1.000 [0.900, –]"


def test_a_judge_that_returns_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        tiny().replace(
            '    return difference(final.scores("norm")',
            "    return 1\n    return difference(final.scores('norm')",
            1,
        )
    )
    page = read_page(path)
    with pytest.raises(ConfigError, match="X1: must return a Contrast or a list of them, got 1"):
        contrasts_of(page, page.findings["X1"], {"final": measured(0.1)})


def test_the_table_has_a_row_a_statement(result: dict[str, Any], tmp_path: Path) -> None:
    bare = {"finding": "X2", "text": "A mixture | beats none.", "paper": "-"}
    lines = table_of_results([result, bare]).splitlines()
    assert lines[2].startswith("| X1 | IN beats none. | none .5 | IN above none: 0.")
    assert lines[2].endswith("(8 trainings) | reproduced, direction only |")
    assert lines[3] == "| X2 | A mixture / beats none. | - | – | not run yet |"
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(StudyError, match="must hold"):
        write_table(page, {})


def test_the_documentation_shows_the_results_there_are() -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    table = page.partition(MARKS[0])[2].partition(MARKS[1])[0].strip()
    assert table == table_of_results(toy_results(read_results())).strip()


def test_the_readme_counts_the_verdicts_there_are() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert count_of_verdicts(toy_results(read_results())) in readme
