"""The Gaussian process against written-out formulas and SciPy's multivariate t distribution."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import multivariate_t

from normsearch.samplers.gp_coding import Coding
from normsearch.samplers.gp_kernel import Kernel
from normsearch.samplers.gp_model import Beliefs, Process
from tests.samplers.test_gp_coding import SPACE

SLOTS = {
    **{f"slot{i}": CategoricalDistribution(["none", "BN", "IN"]) for i in range(3)},
    "rate": FloatDistribution(0.01, 1.0, log=True),
}


@pytest.fixture(params=[SPACE, SLOTS], ids=["no slots", "slots"])
def problem(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Twelve points with targets, their process, and their covariance without noise."""
    rng = np.random.default_rng(1)
    coding = Coding(request.param)
    kernel, rows = Kernel(coding), coding.uniform(rng, 12)
    points = kernel.points(rows)
    targets, noise = rng.normal(size=12), rng.uniform(0, 0.5, size=12)
    beliefs = Beliefs(rng.normal(-1, 0.5, size=4), -0.7)
    process = Process(kernel, points, targets, noise, beliefs)
    parts = kernel.unweighted(points, points)
    plain = kernel.between(points, points, np.exp(beliefs.weights), parts)
    return SimpleNamespace(**locals())


def test_prediction_is_the_written_out_formula(problem: SimpleNamespace) -> None:
    noise = np.diag(math.exp(-0.7) + problem.noise + 1e-6)
    inverse = np.linalg.inv(problem.plain + noise)
    mean, deviation = problem.process.at(problem.points)
    np.testing.assert_allclose(mean, problem.plain @ inverse @ problem.targets, rtol=1e-8)
    scale = (2 + problem.targets @ inverse @ problem.targets) / (2 + 12)
    variance = scale * np.diag(problem.plain - problem.plain @ inverse @ problem.plain)
    np.testing.assert_allclose(deviation**2, variance, rtol=1e-6)


def test_trainings_that_end_as_expected_change_deviations_alone(problem: SimpleNamespace) -> None:
    two = problem.kernel.points(problem.coding.uniform(problem.rng, 2))
    believing, joined = problem.process.believing(two), problem.points.followed_by(two)
    (before, wide), (after, narrow) = problem.process.at(joined), believing.at(joined)
    np.testing.assert_allclose(after, before, atol=1e-8)
    assert (narrow[-2:] < wide[-2:]).all()
    parts = problem.kernel.unweighted(joined, joined)
    plain = problem.kernel.between(joined, joined, np.exp(problem.beliefs.weights), parts)
    noise = np.diag(math.exp(-0.7) + np.append(problem.noise, [0, 0]) + 1e-6)
    own = problem.plain + noise[:12, :12]
    scale = (2 + problem.targets @ np.linalg.inv(own) @ problem.targets) / (2 + 12)
    left = np.diag(plain - plain @ np.linalg.inv(plain + noise) @ plain)
    np.testing.assert_allclose(narrow**2, scale * left, rtol=1e-6)


def test_evidence_is_a_multivariate_t_density(problem: SimpleNamespace) -> None:
    one = problem.process
    other = Process(problem.kernel, problem.points, problem.targets, np.zeros(12), Beliefs.prior(4))
    weights = np.full(4, 0.25)
    prior = problem.kernel.between(problem.points, problem.points, weights, problem.parts)
    shapes = (
        problem.plain + np.diag(math.exp(-0.7) + problem.noise + 1e-6),
        prior + np.eye(12) * (0.3 + 1e-6),
    )
    ours = one.log_evidence() - one.beliefs.log_prior() - other.log_evidence()
    densities = [multivariate_t.logpdf(problem.targets, shape=shape, df=2) for shape in shapes]
    assert ours == pytest.approx(densities[0] - densities[1], rel=1e-8)
    assert other.beliefs.log_prior() == 0.0


def test_other_beliefs_make_another_process_of_the_same_targets(problem: SimpleNamespace) -> None:
    prior = Beliefs.prior(4)
    anew = Process(problem.kernel, problem.points, problem.targets, problem.noise, prior)
    assert problem.process.given(prior).log_evidence() == anew.log_evidence()
    assert anew.log_evidence() != problem.process.log_evidence()


def test_beliefs_move_a_little_of_much() -> None:
    rng = np.random.default_rng(0)
    moved = [Beliefs.prior(22).moved(rng) for _ in range(200)]
    changed = np.mean([one.weights != -math.log(22) for one in moved])
    assert 0.15 < changed < 0.25
    assert {one.noise == math.log(0.3) for one in moved} == {False}
    assert all(one.log_prior() < 0 for one in moved)
