"""The made-up worlds of `tests.benchmarks.worlds` score what they say they do."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from tests.benchmarks.worlds import KINDS, VALIDATION_CASES, Kind, Noise, Trainer, World

NORMS = ("BN", "IN", "SN")
SLOTS = ("a", "b", "c", "d")
CASES = [f"case {number}" for number in range(VALIDATION_CASES)]
SINGLE = [dict.fromkeys(SLOTS, norm) for norm in NORMS]
ORDERS = sorted(set(itertools.permutations(("BN", "IN", "SN", "SN"))))
MIXTURES = [dict(zip(SLOTS, norms, strict=True)) for norms in ORDERS]
NULL = [name for name in KINDS if name.startswith("null")]


def trial(number: int, norm_map: dict[str, str], study: str = "made-up") -> TrialConfig:
    """A trial of an arm or a search."""
    return TrialConfig(
        study=study,
        number=number,
        task=TaskConfig(data="none", test_folds=("3",), validation="test"),
        network=NetworkConfig(),
        training=TrainingConfig(samples=90, evaluations=9),
        norm_map=norm_map,
        learning_rate=0.05,
        batch_size=4,
    )


def best(world: World, norm_map: dict[str, str]) -> float:
    """The highest true score of a norm map over the batch sizes of a space and all rates."""

    def cost(setting: np.ndarray) -> float:
        rate, batch = np.exp(setting)
        return -world.score(norm_map, float(rate), float(batch))

    return -float(optimize.minimize(cost, [-3.0, 1.0]).fun)


@pytest.mark.parametrize("kind", NULL)
def test_in_a_null_world_all_have_the_same_best_score(kind: str) -> None:
    world = World(KINDS[kind], NORMS, 3)
    scores = [best(world, norm_map) for norm_map in SINGLE + MIXTURES[:3]]
    assert scores == pytest.approx([KINDS[kind].peak] * len(scores), abs=1e-4)
    assert not any(map(world.better, SINGLE + MIXTURES))


def test_norms_of_their_own_best_settings_differ_at_one_setting() -> None:
    scores = [World(KINDS["null-own"], NORMS, 3).score(single, 0.05, 4) for single in SINGLE]
    assert np.ptp(scores) > 0.01
    alike = [World(KINDS["null"], NORMS, 3).score(single, 0.05, 4) for single in SINGLE]
    assert np.ptp(alike) == 0


@pytest.mark.parametrize(("rate", "batch_size"), [(0.01, 1), (0.05, 4), (0.3, 8)])
def test_a_better_mixture_is_better_by_its_gain_at_every_setting(
    rate: float, batch_size: int
) -> None:
    world, plain = World(KINDS["mixture"], NORMS, 5), World(KINDS["null"], NORMS, 5)
    gains = [world.score(m, rate, batch_size) - plain.score(m, rate, batch_size) for m in MIXTURES]
    assert gains == pytest.approx([0.02 if world.better(m) else 0.0 for m in MIXTURES])
    assert 0 < sum(map(world.better, MIXTURES)) < len(MIXTURES)
    assert [world.score(m, rate, batch_size) for m in SINGLE] == [
        plain.score(m, rate, batch_size) for m in SINGLE
    ]


def test_wrong_settings_cost_what_they_were_seen_to_cost() -> None:
    grid = list(itertools.product(np.geomspace(0.01, 0.3, 8), (1, 2, 4, 8)))
    lost = []
    for seed in range(100):
        world = World(KINDS["null"], NORMS, seed)
        lost.append(0.8 - np.mean([world.score(SINGLE[0], rate, size) for rate, size in grid]))
    assert 0.05 < np.median(lost) < 0.3
    assert min(lost) > 0.01
    assert max(lost) < 0.4


def test_trainings_scatter_by_the_noise_that_is_stated() -> None:
    noise = Noise(seed=0.02, case=0.08, interaction=0.03, residual=0.04)
    world = World(Kind(peak=0.5, noise=noise), NORMS, 1)
    arms = [
        np.array([[*world.cases(trial(n, arm), CASES).values()] for n in range(i, i + 300)])
        for i, arm in ((0, SINGLE[0]), (300, SINGLE[1]))
    ]
    trainings = arms[0].mean(axis=1)
    assert trainings.std(ddof=1) == pytest.approx(0.02, rel=0.15)
    rest = arms[0] - arms[0].mean(axis=0) - trainings[:, None] + trainings.mean()
    assert rest.std(ddof=VALIDATION_CASES) == pytest.approx(0.04, rel=0.05)
    many = [f"case {number}" for number in range(400)]
    means = [
        np.mean([[*world.cases(trial(n, arm), many).values()] for n in range(40)], axis=0)
        for arm in SINGLE[:2]
    ]
    assert np.std(means[0] - means[1]) == pytest.approx(0.03 * 2**0.5, rel=0.15)
    assert np.std(means[0]) == pytest.approx((0.08**2 + 0.03**2) ** 0.5, rel=0.15)


def test_the_same_training_scores_the_same_and_another_does_not() -> None:
    world = World(KINDS["null"], NORMS, 2)
    first = world.cases(trial(0, SINGLE[0]), CASES)
    assert world.cases(trial(0, SINGLE[0]), CASES) == first
    assert world.cases(trial(1, SINGLE[0]), CASES) != first
    assert world.cases(trial(0, SINGLE[0], study="made-up-confirm"), CASES) != first


def test_some_trainings_collapse_where_a_world_says_so() -> None:
    kind = dataclasses.replace(KINDS["null"], collapse=0.2)
    scores = [
        np.mean([*World(kind, NORMS, 2).cases(trial(n, SINGLE[0]), CASES).values()])
        for n in range(200)
    ]
    typical = np.median(scores)
    assert 20 < sum(score < 0.6 * typical for score in scores) < 60


def test_a_training_is_reported_and_stored_as_a_real_one(tmp_path: Path) -> None:
    world = World(KINDS["null"], NORMS, 2)
    wanted = trial(0, SINGLE[0])
    records = list(Trainer(world, 6)(wanted, None, tmp_path, ""))
    assert [record["evaluation"] for record in records] == list(range(1, 10))
    assert [record["samples"] for record in records] == list(range(10, 91, 10))
    assert records[-1]["score"] == pytest.approx(np.mean([*records[-1]["cases"].values()]))
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    assert lines[0] == "case,evaluation,score"
    assert len(lines) == 1 + 6
