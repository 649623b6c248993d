"""Parameters as rows of numbers, their features, and draws near others."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from normsearch.samplers.gp_coding import Coding

SPACE = {
    "norm": CategoricalDistribution(["none", "BN", "IN"]),
    "batch": CategoricalDistribution([1, 2, 4, 8]),
    "rate": FloatDistribution(0.01, 1.0, log=True),
    "decay": FloatDistribution(0.0, 0.5),
}


def test_parameters_become_numbers_and_back() -> None:
    coding = Coding(SPACE)
    row = coding.row({"norm": "IN", "batch": 2, "rate": 0.1, "decay": 0.125})
    assert row == pytest.approx((2.0, 1.0, 0.5, 0.25))
    back = coding.params(row)
    assert (back["norm"], back["batch"]) == ("IN", 2)
    assert (back["rate"], back["decay"]) == pytest.approx((0.1, 0.125))
    low = coding.params((0.0, 0.0, 0.0, 0.0))
    high = coding.params((0.0, 0.0, 1.0, 1.0))
    assert 0.01 <= low["rate"] == pytest.approx(0.01)  # never outside
    assert (high["rate"], high["decay"]) == (1.0, 0.5)


def test_whole_numbers_stay_whole() -> None:
    coding = Coding({"depth": IntDistribution(2, 6)})
    assert coding.row({"depth": 3}) == (0.25,)
    assert [coding.params((place,))["depth"] for place in (0.1, 0.3, 0.9)] == [2, 3, 6]


def test_a_number_lies_on_the_grid_of_its_step() -> None:
    kind = FloatDistribution(-1.0, 1.0, step=0.5)
    found = [Coding({"x": kind}).params((place,))["x"] for place in (0.1, 0.3, 0.55, 1.0)]
    assert found == [-1.0, -0.5, 0.0, 1.0]
    for low in (1, 2):
        odd = Coding(
            {"n": IntDistribution(low, low + 6, step=2), "m": IntDistribution(1, 9, log=True)}
        )
        drawn = [odd.params((i / 50, i / 50)) for i in range(51)]
        assert {one["n"] for one in drawn} == set(range(low, low + 7, 2))
        assert {one["m"] for one in drawn} == set(range(1, 10))


def test_distance_counts_the_choices_that_differ() -> None:
    coding = Coding(SPACE)
    rows = np.array([[0, 0, 0.5, 0.2], [1, 3, 0.5, 0.2], [1, 3, 1.0, 0.2]])
    features = coding.features(rows)
    assert features.shape == (3, 3 + 4 + 1 + 1)
    assert coding.owner.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 3]
    squares = ((features[:, None] - features[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squares, [[0, 2, 3], [2, 0, 1], [3, 1, 0]], atol=1e-12)


def test_draws_lie_in_the_space() -> None:
    coding, rng = Coding(SPACE), np.random.default_rng(0)
    rows = coding.uniform(rng, 300)
    near = coding.neighbours(rng, np.repeat(rows[:1], 300, axis=0))
    for drawn in (rows, near):
        assert set(drawn[:, 0]) == {0, 1, 2}
        assert set(drawn[:, 1]) == {0, 1, 2, 3}
        assert ((drawn[:, 2:] >= 0) & (drawn[:, 2:] <= 1)).all()
    same = near[:, :2] == rows[0, :2]
    assert same.mean() > 0.5  # neighbours keep most of what they come from
    assert not same.all(axis=1).all()
