"""The Gaussian process against written-out formulas and SciPy's multivariate t distribution."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import multivariate_t

from normsearch.samplers.gp_model import Beliefs, Coding, Process

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


@pytest.fixture
def problem() -> tuple[Process, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    coding = Coding(SPACE)
    features = coding.features(coding.uniform(rng, 12))
    targets, noise = rng.normal(size=12), rng.uniform(0, 0.5, size=12)
    beliefs = Beliefs(rng.normal(-1, 0.5, size=4), -0.7)
    process = Process(features, coding.owner, targets, noise, beliefs)
    weights = np.exp(beliefs.weights)[coding.owner]
    distances = ((features[:, None] - features[None]) ** 2 * weights).sum(-1)
    covariance = np.exp(-distances) + np.diag(math.exp(-0.7) + noise + 1e-6)
    return process, features, covariance, targets


def test_prediction_is_the_written_out_formula(problem: tuple) -> None:
    process, features, covariance, targets = problem
    inverse = np.linalg.inv(covariance)
    across = covariance - np.diag(np.diag(covariance)) + np.eye(12)  # of the points themselves
    mean, deviation = process.at(features)
    np.testing.assert_allclose(mean, across @ inverse @ targets, rtol=1e-8)
    scale = (2 + targets @ inverse @ targets) / (2 + 12)
    variance = scale * np.diag(1 - across @ inverse @ across)
    np.testing.assert_allclose(deviation**2, variance, rtol=1e-6)


def test_evidence_is_a_multivariate_t_density(problem: tuple) -> None:
    process, features, covariance, targets = problem
    coding = Coding(SPACE)
    other = Process(features, coding.owner, targets, np.zeros(12), Beliefs.prior(4))
    plain = np.exp(-((features[:, None] - features[None]) ** 2 / 4).sum(-1))
    plain += np.eye(12) * (0.3 + 1e-6)
    ours = process.log_evidence() - process.beliefs.log_prior() - other.log_evidence()
    log_density = [
        multivariate_t.logpdf(targets, shape=shape, df=2) for shape in (covariance, plain)
    ]
    assert ours == pytest.approx(log_density[0] - log_density[1], rel=1e-8)
    assert other.beliefs.log_prior() == 0.0


def test_beliefs_move_a_little_of_much() -> None:
    rng = np.random.default_rng(0)
    moved = [Beliefs.prior(22).moved(rng) for _ in range(200)]
    changed = np.mean([one.weights != -math.log(22) for one in moved])
    assert 0.15 < changed < 0.25
    assert {one.noise == math.log(0.3) for one in moved} == {False}
    assert all(one.log_prior() < 0 for one in moved)
