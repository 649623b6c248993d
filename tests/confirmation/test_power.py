"""Power: the closed form against tests of shifted scores, and ranges that hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normsearch.confirmation.pair_tests import p_both
from normsearch.confirmation.power import (
    Range,
    _most_below,
    _needed_by_ranks,
    needed_cases,
    precision,
)
from tests.benchmarks.statistics_null import Cell, bracketed, made_up


@pytest.mark.parametrize("cell", [Cell("normal", (5, 5), 15), Cell("floors", (3, 3), 15)], ids=str)
def test_ranges_hold_the_power_that_is_found(cell: Cell) -> None:
    held = bracketed(cell, 40, np.random.default_rng(0))
    assert min(held) >= stats.binom.ppf(0.01, 40, 0.9) / 40


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_shift_that_ranks_need_is_where_wilcoxons_test_begins_to_find_it(level: float) -> None:
    random = np.random.default_rng(1)
    differences = random.normal(0, 1, (20, 12))
    shifts = _needed_by_ranks(random, differences, level)
    for row, shift in zip(differences, shifts, strict=True):
        assert stats.wilcoxon(row + shift + 1e-6).pvalue < level
        assert stats.wilcoxon(row + shift - 1e-6).pvalue >= level


def test_of_many_cases_the_shift_is_that_of_all_pairs_nearly() -> None:
    random = np.random.default_rng(2)
    differences = random.normal(0, 1, (50, 80))
    shifts = _needed_by_ranks(random, differences, 0.05)
    p = stats.wilcoxon(differences + shifts[:, None], axis=1).pvalue
    assert np.median(p) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("cases", [5, 6, 20, 60])
def test_the_most_that_may_be_below_is_scipys(cases: int) -> None:
    most = _most_below(cases, 0.05)
    ranks = np.arange(1, cases + 1.0)

    def p(below: int) -> float:  # values whose negative ranks add up to `below`
        signs, left = np.ones(cases), below
        for rank in range(cases, 0, -1):
            if rank <= left:
                signs[rank - 1], left = -1, left - rank
        return float(stats.wilcoxon(signs * ranks).pvalue)

    if most >= 0:
        assert p(most) < 0.05
    assert p(most + 1) >= 0.05


def test_more_cases_seeds_and_fewer_comparisons_find_smaller_differences() -> None:
    def found(seeds: int, cases: int, comparisons: int) -> float:
        sizes = []
        for number in range(3):
            random = np.random.default_rng(number)
            first, second = (a[0] for a in made_up("normal", 1, (seeds, seeds), cases, random))
            known = precision(first, second, comparisons=comparisons, seed=number)
            sizes.append(known.detectable().estimate)
        return float(np.median(sizes))

    base, more_seeds = found(4, 15, 5), found(10, 15, 5)
    assert found(10, 60, 5) < more_seeds < base
    assert found(4, 15, 1) < base


def test_power_rises_with_the_difference_and_pairing_finds_what_seeds_share() -> None:
    random = np.random.default_rng(3)
    first, second = (arm[0] for arm in made_up("normal", 1, (5, 5), 15, random))
    luck = random.normal(0, 0.1, (5, 1))
    known = precision(first + luck, second + luck)
    powers = [known.power(size).estimate for size in (0.0, 0.05, 0.2, 1.0)]
    assert powers == sorted(powers)
    assert powers[0] < 0.05 < powers[-1] == 1.0
    paired = precision(first + luck, second + luck, paired=True)
    assert paired.detectable().estimate < known.detectable().estimate
    assert known.power(0.1).low <= known.power(0.1).estimate <= known.power(0.1).high


@pytest.mark.parametrize(("comparisons", "cases"), [(1, 6), (2, 7), (5, 8), (10, 9)])
def test_with_fewer_cases_no_difference_can_be_found(comparisons: int, cases: int) -> None:
    assert needed_cases(comparisons) == cases
    first, second = (
        arm[0] for arm in made_up("normal", 1, (5, 5), cases, np.random.default_rng(4))
    )
    enough = precision(first, second, comparisons=comparisons)
    assert enough.power(50.0).low == 1
    few = precision(first[:, 1:], second[:, 1:], comparisons=comparisons)
    assert few.power(50.0) == Range(0.0, 0.0, 0.0)
    assert math.isinf(few.detectable().low)
    assert p_both(first[:, 1:], first[:, 1:] + 1.0) * comparisons >= 0.05
