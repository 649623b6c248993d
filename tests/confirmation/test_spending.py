"""Error levels of looks: the published design's numbers, and simulated crossing probabilities."""

import math

import numpy as np
import pytest
from scipy import stats

from normsearch.config.arms import LOOKS
from normsearch.confirmation.spending import CLAIMS, ONE_SIDED, adjusted, levels

#: Comparisons -> levels after 3, 5, 8 seeds, and the last one's normal quantile, by an earlier
#: program on a coarser grid.
KNOWN = {
    1: (0.00348, 0.00772, 0.01991, 2.06),
    2: (0.00174, 0.00377, 0.00964, 2.34),
    3: (0.00116, 0.00248, 0.00632, 2.49),
    5: (0.00069, 0.00146, 0.00372, 2.68),
    7: (0.00050, 0.00104, 0.00262, 2.79),
}


@pytest.mark.parametrize("comparisons", KNOWN)
def test_the_levels_are_those_of_the_design(comparisons: int) -> None:
    *expected, quantile = KNOWN[comparisons]
    found = levels(comparisons)
    assert list(found) == [3, 5, 8]
    assert list(found.values()) == pytest.approx(expected, rel=0.02)
    assert stats.norm.isf(found[8]) == pytest.approx(quantile, abs=0.01)


@pytest.mark.parametrize("looks", [CLAIMS, LOOKS])
def test_a_null_comparison_crosses_as_often_as_is_spent(looks: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    sums = np.cumsum(random.normal(size=(400_000, 8)), axis=1)
    crossed = np.zeros(len(sums), bool)
    for seeds, level in levels(1, looks).items():
        crossed |= sums[:, seeds - 1] / math.sqrt(seeds) > stats.norm.isf(level)
        spent = ONE_SIDED * (seeds / 8) ** 2
        assert crossed.mean() == pytest.approx(spent, abs=4 * math.sqrt(spent / len(sums)))


def test_the_first_level_is_what_is_spent_there() -> None:
    assert levels(4)[3] == pytest.approx(ONE_SIDED / 4 * 9 / 64)


@pytest.mark.parametrize("comparisons", [1, 7])
@pytest.mark.parametrize("seeds", CLAIMS)
def test_an_adjusted_p_is_below_5_percent_where_the_level_is_reached(
    seeds: int, comparisons: int
) -> None:
    level = levels(comparisons)[seeds]
    assert adjusted(level, seeds, comparisons) == pytest.approx(0.05)
    values = [adjusted(p, seeds, comparisons) for p in (1e-9, level / 2, level * 2, 0.2, 0.9)]
    assert values == sorted(values)
    assert values[1] < 0.05 < values[2]
    assert values[-1] == 1


def test_two_seeds_claim_nothing() -> None:
    assert math.isnan(adjusted(1e-9, 2, 1))
    assert math.isnan(adjusted(math.nan, 8, 1))
