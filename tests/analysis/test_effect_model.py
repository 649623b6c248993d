"""The posterior of averages against the written-out formula, and what a rare value's looks like."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normsearch.analysis.effect_model import (
    Block,
    _distances,
    _Fit,
    _interval,
    _Settings,
    effects,
)


def one_hot(values: np.ndarray, size: int) -> np.ndarray:
    return (values[:, None] == np.arange(size)) / math.sqrt(2)


def test_averages_are_those_of_the_joint_posterior_of_all_their_points() -> None:
    random = np.random.default_rng(0)
    picks, targets = random.integers(3, size=(12, 4)), random.normal(size=12)
    variance, averaged = random.uniform(0, 0.3, 12), random.random(12) < 0.6
    settings = _Settings(random.normal(size=4), math.log(0.7), math.log(0.8), math.log(0.2))
    weights = 0.7 * np.exp(settings.parts) / np.exp(settings.parts).sum()
    amplitude = 0.8 / (1 - math.exp(-0.7))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        differ = a[:, None, :] != b[None, :, :]
        return amplitude * np.exp(-(differ * weights).sum(axis=-1))

    number, shown = 2, np.arange(3)
    points = []
    for value in shown:
        changed = picks[averaged].copy()
        changed[:, number] = value
        points.append(changed)
    every, count = np.concatenate(points), int(averaged.sum())
    mixing = np.kron(np.eye(3), np.full((1, count), 1 / count))  # C of C K Cᵀ
    inverse = np.linalg.inv(kernel(picks, picks) + np.diag(variance + 0.2 + 1e-6))
    across = mixing @ kernel(every, picks)
    mean = across @ inverse @ targets
    covariance = mixing @ kernel(every, every) @ mixing.T - across @ inverse @ across.T

    known = [one_hot(column, 3) for column in picks.T]
    distances = np.stack([_distances(part, part) for part in known])
    fit = _Fit(settings, distances, targets, variance)
    each = one_hot(shown, 3)
    found = fit.averages(
        number, distances[number], _distances(each, known[number]), _distances(each, each), averaged
    )
    np.testing.assert_allclose(found[0], mean, atol=1e-10)
    np.testing.assert_allclose(found[1], covariance, atol=1e-10)


def test_the_density_is_that_of_a_normal_times_the_prior() -> None:
    random = np.random.default_rng(1)
    picks, targets = random.integers(2, size=(6, 2)), random.normal(size=6)
    known = [one_hot(column, 2) for column in picks.T]
    distances = np.stack([_distances(part, part) for part in known])

    def both(settings: _Settings) -> tuple[float, float]:
        kernel = settings.amplitude * np.exp(-np.tensordot(settings.weights, distances, 1))
        covariance = kernel + (math.exp(settings.noise) + 1e-6) * np.eye(6)
        normal = stats.multivariate_normal(np.zeros(6), covariance).logpdf(targets)
        fit = _Fit(settings, distances, targets, np.zeros(6))
        return fit.log_density(), normal + settings.log_prior()

    first = both(_Settings(np.zeros(2)))
    second = both(_Settings(np.array([1.0, -0.5]), -2.0, 0.3, -1.0))
    assert first[0] - second[0] == pytest.approx(first[1] - second[1])


def test_an_interval_of_a_mixture_has_the_tails_of_its_distribution() -> None:
    means, deviations = np.array([[0.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 1.0], [1.0, 2.0]])
    middle, low, high = _interval(means, deviations)
    assert middle == pytest.approx([0, 1.5])
    assert [low[0], high[0]] == pytest.approx([-1.96, 1.96], abs=1e-3)
    for end, share in ((low[1], 0.025), (high[1], 0.975)):
        parts = stats.norm.cdf(end, [0, 3], [1, 2])
        assert parts.mean() == pytest.approx(share, abs=1e-6)


def test_effects_come_back_and_a_value_tried_once_has_a_wide_interval() -> None:
    random = np.random.default_rng(2)
    picks = random.integers(3, size=(80, 3))
    picks[:, 0] = np.where(picks[:, 0] == 2, 0, picks[:, 0])
    picks[7, 0] = 2  # tried once, and by luck well
    worth = np.array([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, -1.0]])
    targets = worth[np.arange(3), picks].sum(axis=1) + random.normal(0, 0.4, 80)
    targets[7] += 0.8
    scale = targets.std()
    blocks = [Block(one_hot(column, 3), one_hot(np.arange(3), 3)) for column in picks.T]
    found = effects(blocks, (targets - targets.mean()) / scale, np.zeros(80), np.ones(80, bool))
    effect, low, high = (scale * np.stack(part) for part in zip(*found, strict=True))
    assert effect.sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-9)
    assert ((low <= worth) & (worth <= high)).mean() >= 8 / 9
    assert (low[2, 0], high[2, 2]) > (0, 0)
    assert low[2, 0] > 0 > high[2, 2]
    width = high - low
    assert width[0, 2] > 2 * width[2].max()
    assert low[0, 2] < 0 < high[0, 2]


def test_noise_of_targets_makes_what_they_alone_say_unsure() -> None:
    random = np.random.default_rng(3)
    picks = random.integers(2, size=(30, 2))
    picks[:, 0] = 0
    picks[4:8, 0] = 1
    targets = np.where(picks[:, 0] == 1, 1.5, -0.2) + random.normal(0, 0.3, 30)
    blocks = [Block(one_hot(column, 2), one_hot(np.arange(2), 2)) for column in picks.T]
    variance = np.where(picks[:, 0] == 1, 4.0, 0.0)
    sure, unsure = (
        effects(blocks, targets, noise, np.ones(30, bool))[0] for noise in (0 * variance, variance)
    )
    assert sure[1][1] > 0 > unsure[1][1]
    assert 0 < unsure[0][1] < sure[0][1]
