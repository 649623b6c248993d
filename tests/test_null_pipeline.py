"""Whole studies in made-up worlds: what is not so is not said, and what is so is found.

The short version of ``python -m tests.benchmarks.null_pipeline``. Seeds are fixed; the bounds are
such that a level of 5% passes in 999 of 1,000 draws of seeds, and one of 60% in none. Where no norm
matters, searches end with a race, and confirmations are in looks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from scipy import stats

from tests.benchmarks.null_claims import claims
from tests.benchmarks.null_pipeline import run_studies, run_study, summary

STUDIES, FOUND, CASES, TRIALS, NORMS = 16, 12, 15, 24, ("BN", "IN", "SN")
#: Norms have settings of their own here; where they have not, there is less to mistake.
NULL = "null-own"
HOW: dict[str, dict[str, Any]] = {NULL: {"race": 0.25, "design": "looks"}}
Studies = Callable[[str], pd.DataFrame]


@pytest.fixture(scope="module")
def studies() -> Studies:
    """Return a function that runs studies in a world, once a world."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known: dict[str, pd.DataFrame] = {}

    def run(world: str) -> pd.DataFrame:
        if world not in known:
            count = STUDIES if world == NULL else FOUND
            how = (CASES, TRIALS, NORMS)
            rows = [run_study(world, s, *how, **HOW.get(world, {})) for s in range(count)]
            known[world] = pd.DataFrame(rows)
        return known[world]

    return run


@pytest.mark.parametrize("claim", ["mixture_better", "single_differs"])
def test_where_norms_do_not_matter_no_verdict_says_so(studies: Studies, claim: str) -> None:
    assert (studies(NULL)[claim] > 0).sum() <= stats.binom.ppf(0.999, STUDIES, 0.05)


@pytest.mark.parametrize("place", ["sentence", "lead"])
def test_where_norms_do_not_matter_no_first_sentence_says_so(studies: Studies, place: str) -> None:
    rows = studies(NULL)
    wrong = rows[f"{place}_mixture"] | rows[f"{place}_single"]
    assert wrong.sum() <= stats.binom.ppf(0.999, STUDIES, 0.05)


def test_looks_are_cheap_where_norms_do_not_matter(studies: Studies) -> None:
    rows = studies(NULL)
    assert rows["trainings"].sum() < 0.6 * 5 * rows["arms"].sum()


def test_a_better_mixture_is_found_as_often_as_the_power_says(studies: Studies) -> None:
    rows = studies("mixture-large")
    among = rows[rows["stated"].notna()]
    assert len(among) >= FOUND / 2
    # Each study has a chance of its own; the count's spread is at most that of equal chances.
    found = among["true_found"].sum()
    assert found >= stats.binom.ppf(0.001, len(among), among["stated_own"].mean())
    assert found <= stats.binom.ppf(0.999, len(among), among["stated"].mean())


def test_what_a_study_says_of_which_arms() -> None:
    arms = ["BN", "IN", "IN at 0.1", "trial 7"]
    text = "Worse than BN: IN (-0.02, p 0.01), IN at 0.1 (-0.05, p 0.001). trial 7 is not better."
    assert claims(text, arms, ["IN"], ["worse"])
    assert not claims(text, arms, ["IN"], ["better"])
    assert not claims(text, arms, ["trial 7"], ["better", "worse"])
    only = text.replace("IN (-0.02, p 0.01), ", "")
    assert not claims(only, arms, ["IN"], ["worse"])  # another arm's name begins with it


def test_studies_that_were_run_are_not_run_again(tmp_path: Path) -> None:
    first = run_studies(tmp_path, ["null"], [0, 1], cases=[6], trials=8)
    written = (tmp_path / "null_pipeline_runs.csv").read_text()
    again = run_studies(tmp_path, ["null"], [1], cases=[6], trials=8)
    assert (tmp_path / "null_pipeline_runs.csv").read_text() == written
    assert first["seed"].tolist() == [0, 1]
    assert again["seed"].tolist() == [1]
    assert summary(first)["studies"].tolist() == [2]
