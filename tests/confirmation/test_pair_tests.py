"""The tests on simulated studies: levels where nothing differs, and how often intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from normsearch.confirmation.pair_tests import (
    Array,
    difference_of,
    mean_interval,
    p_both,
    p_cases,
    p_total,
)
from tests.benchmarks.statistics_null import CELLS, Cell, covered, made_up, wrong

STUDIES = 400


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_null_studies_are_called_different_in_at_most_five_percent(cell: Cell) -> None:
    found = wrong(cell, STUDIES, np.random.default_rng(1))
    assert found <= stats.binom.ppf(0.99, STUDIES, 0.05) / STUDIES


def test_cases_alone_would_call_seeds_a_difference() -> None:
    """Why there is more than the test over cases: alone it fails its level on null studies."""
    first, second = made_up("normal", STUDIES, (5, 5), 15, np.random.default_rng(7))
    assert (p_cases(first, second) < 0.05).mean() > 0.10


@pytest.mark.parametrize("cell", [c for c in CELLS if c.cases >= 15 and len(c.seeds) == 2], ids=str)
def test_intervals_cover(cell: Cell) -> None:
    means, differences = covered(cell, STUDIES, np.random.default_rng(2))
    least = stats.binom.ppf(0.01, STUDIES, 0.93) / STUDIES
    assert means >= least
    assert differences >= least


def test_paired_holds_its_level_and_finds_more_only_where_trainings_share_their_fortune() -> None:
    random = np.random.default_rng(3)

    def found(shared: float, gain: float) -> list[float]:
        first, second = made_up("normal", 2000, (5, 5), 15, random)
        luck = random.normal(0, shared, (2000, 5, 1))
        return [
            float((p_both(first + luck, second + gain + luck, paired=paired) < 0.05).mean())
            for paired in (False, True)
        ]

    for shared in (0.0, 0.04):
        assert max(found(shared, 0.0)) <= stats.binom.ppf(0.99, 2000, 0.05) / 2000
    unpaired, paired = found(0.04, 0.04)
    assert paired > unpaired + 0.1
    unpaired, paired = found(0.0, 0.04)
    assert paired < unpaired


def test_scores_without_spread_are_no_evidence() -> None:
    first: Array = np.full((3, 4), 0.5)
    assert p_total(first, first + 0.1) == 1
    assert p_cases(first, first) == 1


def test_one_seed_or_case_allows_no_test_and_no_interval() -> None:
    scores = np.random.default_rng(4).random((3, 8))
    assert np.isnan(p_both(scores[:1], scores))
    assert np.isnan(p_total(scores[:, :1], scores[:, :1]))
    assert np.isnan(mean_interval(scores[:1])).all()


def test_the_longer_tail_moves_its_end_by_the_skewness() -> None:
    random = np.random.default_rng(5)
    scores = 1 - random.exponential(0.1, 20) + random.normal(0, 0.01, (4, 1))
    low, high = mean_interval(scores)
    cases, seeds = scores.mean(axis=0), scores.mean(axis=1)
    parts = [cases.var(ddof=1) / 20, seeds.var(ddof=1) / 4]
    free = min(sum(parts) ** 2 / (parts[0] ** 2 / 19 + parts[1] ** 2 / 3), 9)
    t, error = stats.t.isf(0.025, free), np.sqrt(sum(parts))
    tail = stats.skew(cases) * cases.std() * (1 + 2 * t**2) / (6 * 20)
    assert stats.skew(cases) < 0
    assert high == pytest.approx(cases.mean() + t * error)
    assert low == pytest.approx(cases.mean() - t * error + tail)


def test_the_difference_is_the_second_less_the_first() -> None:
    scores = np.random.default_rng(6).random((3, 8))
    assert difference_of(scores, scores + 0.25)[0] == pytest.approx(0.25)
