"""Optuna's published tests of a sampler, on ours."""

from collections.abc import Callable
from functools import partial

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from normsearch.samplers.evolution import AgeingEvolution, OnePointGenetic
from normsearch.samplers.fixed import FixedParametersSampler, GridSampler
from normsearch.samplers.gp_sampler import GaussianProcessSampler
from tests.space.test_layered import space

Maker = Callable[[], BaseSampler]

# Few trials make a first generation, so that the tests, of 2 to 20 trials, come to what follows.
ONE_OBJECTIVE: dict[str, Maker] = {
    "gp": partial(GaussianProcessSampler, seed=0, startup=1),
    "gp as built": partial(GaussianProcessSampler, seed=0),
    "evonms": partial(OnePointGenetic, population=2, seed=0),
    "evolution": partial(AgeingEvolution, population=2, tournament=2, seed=0),
}
SEVERAL: dict[str, Maker] = {
    "fixed": partial(FixedParametersSampler, {"given": 0}, seed=0),
    "grid": lambda: GridSampler(space("BN", "IN", learning_rate=[0.1], per="network"), seed=0),
}


def among(makers: dict[str, Maker]) -> pytest.MarkDecorator:
    """Run a class of tests on each of these samplers."""
    return pytest.mark.parametrize("sampler", makers.values(), ids=makers.keys())


@among(ONE_OBJECTIVE | SEVERAL)
class TestBasic(BasicSamplerTestCase):
    """Values lie in their distributions, for all kinds of them, conditional ones included."""


@among(ONE_OBJECTIVE)
class TestOneObjective(SingleOnlySamplerTestCase):
    """Studies of several objectives are refused."""


@among(SEVERAL)
class TestSeveralObjectives(MultiObjectiveSamplerTestCase):
    """Studies of several objectives are accepted."""


@pytest.mark.parametrize("sampler", [ONE_OBJECTIVE["gp"]])
class TestRelative(RelativeSamplerTestCase):
    """All parameters are suggested together once there are trials."""
