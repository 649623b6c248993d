"""Which seeds are served, and how well seeds agree, on tables whose answer is known."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from normsearch.benchmark.replicates import Replicates, noise_ceiling
from normsearch.benchmark.table import Table, load_table
from normsearch.errors import ConfigError


def table_of(finals: np.ndarray) -> Table:
    """A table of one evaluation point from final scores, (seeds, rows)."""
    score = finals[:, :, None]
    choices = tuple((str(row),) for row in range(finals.shape[1]))
    return Table(choices, score, np.ones_like(score), (10,), tuple(range(len(finals))), {})


def test_every_seed_is_served_first_as_often() -> None:
    table = table_of(np.zeros((4, 400)))
    replicates = Replicates(table, 1)
    counts = np.bincount([replicates.draw(row) for row in range(400)], minlength=4)
    assert (abs(counts - 100) < 35).all()  # four standard deviations


def test_a_search_with_another_seed_is_served_others() -> None:
    table = table_of(np.zeros((4, 50)))
    drawn = [[Replicates(table, seed).draw(row) for row in range(50)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_truth_leaves_out_what_was_served() -> None:
    replicates = Replicates(table_of(np.array([[0.1], [0.2], [0.6]])), 0)
    assert replicates.truth(0) == pytest.approx(0.3)
    own = (0.1, 0.2, 0.6)[replicates.draw(0)]
    assert replicates.truth(0) == pytest.approx((0.9 - own) / 2)
    assert replicates.regret(0) == pytest.approx(0.3 - (0.9 - own) / 2)


def test_one_seed_is_served_and_judges() -> None:
    replicates = Replicates(table_of(np.array([[0.5, 0.75]])), 0)
    assert [replicates.draw(0), replicates.draw(0)] == [0, 0]
    assert (replicates.truth(0), replicates.regret(0)) == (0.5, 0.25)


def test_the_noise_ceiling_is_the_mean_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    finals = rng.normal(size=300) + rng.normal(size=(3, 300))  # correlation .5, deviation 1
    found = noise_ceiling(table_of(finals))
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([stats.spearmanr(finals[a], finals[b])[0] for a, b in pairs])
    assert found.correlation == pytest.approx(expected)
    assert found.low < 6 / np.pi * np.arcsin(0.25) < found.high  # of normal scores
    assert found.high - found.low < 0.25
    assert found.deviation == pytest.approx(1, abs=0.1)
    assert found == noise_ceiling(table_of(finals))
    collapsed = finals.copy()
    collapsed[0, :30] = -100  # a tenth of the rows, where another seed is as before
    assert noise_ceiling(table_of(collapsed)).deviation == pytest.approx(1, abs=0.15)


def test_the_noise_ceiling_says_what_all_other_seeds_leave_to_be_lost() -> None:
    rising = np.arange(100) / 100
    assert noise_ceiling(table_of(np.array([rising, rising]))).regret == pytest.approx(0.095)
    falling = np.array(
        [rising, rising[::-1]]
    )  # means of .495: the best of one are .095 in the other
    assert noise_ceiling(table_of(falling)).regret == pytest.approx(0.4)


def test_one_seed_has_no_noise_ceiling() -> None:
    with pytest.raises(ValueError, match=r"needs two seeds or more, got \[0\]"):
        noise_ceiling(load_table(seeds=(0,)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"table": 3}, r"noise_ceiling: table must be a Table, .* got 3"),
        ({"seed": "a"}, "seed: must be a whole number of 0 or more, got 'a'"),
        ({"resamples": 0}, "resamples: must be a whole number of 1 or more, got 0"),
    ],
)
def test_what_is_no_argument_of_the_noise_ceiling(changed: dict[str, Any], message: str) -> None:
    given = {"table": table_of(np.zeros((2, 9))), **changed}
    with pytest.raises(ConfigError, match=message):
        noise_ceiling(**given)
