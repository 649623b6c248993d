"""The covariance in parts against written-out sums; spaces without slots; what counts as a slot."""

import itertools
import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from normsearch.samplers.gp_coding import Coding
from normsearch.samplers.gp_kernel import Kernel

SPACE = {
    "first": CategoricalDistribution(["BN", "IN", "LN"]),
    "second": CategoricalDistribution(["none", "IN", "BN"]),
    "third": CategoricalDistribution(["IN", "BN"]),
    "batch": CategoricalDistribution([1, 2]),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "rate": FloatDistribution(0.0, 1.0),
}
SLOTS = ("first", "second", "third")


def written_out(a: dict, b: dict, weights: dict) -> float:
    """Return the covariance of two configurations of SPACE."""
    distance = {name: float(a[name] != b[name]) for name in SPACE}
    distance["rate"] = 4 * (a["rate"] - b["rate"]) ** 2
    together = math.exp(-sum(weights[name] * distance[name] for name in SPACE))
    alike = {name: 1 - distance[name] for name in SPACE} | {"rate": 1 / (1 + distance["rate"])}
    alone = sum(alike.values()) / len(SPACE)
    shared = sum(a[one] == b[other] for one in SLOTS for other in SLOTS) / 9
    pairs = sum(a[x] == b[x] and a[y] == b[y] for x, y in itertools.pairwise(SLOTS)) / 2
    return 0.3 * together + 0.4 * alone + 0.15 * shared + 0.15 * pairs


def test_parts_are_the_written_out_sum() -> None:
    coding, rng = Coding(SPACE), np.random.default_rng(0)
    kernel, rows = Kernel(coding), coding.uniform(rng, 20)
    weights = np.exp(rng.normal(-1, 1, size=6))
    points, fewer = kernel.points(rows), kernel.points(rows[:7])
    found = kernel.between(points, fewer, weights, kernel.unweighted(points, fewer))
    params = [coding.params(row) for row in rows.tolist()]
    named = dict(zip(SPACE, weights.tolist(), strict=True))
    expected = [[written_out(a, b, named) for b in params[:7]] for a in params]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    own = [written_out(a, a, named) for a in params]
    np.testing.assert_allclose(kernel.variances(points), own, atol=1e-12)


def test_the_covariance_is_positive() -> None:
    coding, rng = Coding(SPACE), np.random.default_rng(1)
    kernel = Kernel(coding)
    points = kernel.points(coding.uniform(rng, 60))
    found = kernel.between(
        points, points, np.exp(rng.normal(size=6)), kernel.unweighted(points, points)
    )
    assert np.linalg.eigvalsh(found).min() > -1e-10


@pytest.mark.parametrize("names", [("first", "batch", "rate"), ("batch", "optimizer"), ("rate",)])
def test_without_slots_all_parameters_count_together(names: tuple[str, ...]) -> None:
    coding, rng = Coding({name: SPACE[name] for name in names}), np.random.default_rng(2)
    kernel, rows = Kernel(coding), coding.uniform(rng, 9)
    weights = np.exp(rng.normal(size=len(names)))
    points = kernel.points(rows)
    found = kernel.between(points, points, weights, kernel.unweighted(points, points))
    features = coding.features(rows)
    squares = (features[:, None] - features[None]) ** 2 @ weights[coding.owner]
    np.testing.assert_allclose(found, np.exp(-squares), atol=1e-12)
    assert kernel.variances(points).tolist() == [1.0] * 9
