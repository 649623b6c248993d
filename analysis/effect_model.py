"""A Gaussian process over choices, and the joint posterior of averages over its other choices.

Its covariance falls with the weighted number of choices that differ, as that of the sampler gp. The
sampler asks which point is best and takes its settings from a short random walk; here intervals are
wanted, so they are averaged over many settings, whose priors are wider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import ndtr

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_STEPS, _BURN_IN, _EVERY = 600, 200, 16  # of the Metropolis walk: 25 settings are kept
_JITTER = 1e-6
_PARTS, _ORDER, _VARIANCE = 0.6, 1.0, 1.5  # standard deviations of the settings' priors


@dataclass(frozen=True)
class Block:
    """The features of one choice.

    Attributes:
        known: (n, f), of each training.
        shown: (m, f), of the values whose effects are wanted.
    """

    known: Array
    shown: Array


@dataclass(frozen=True)
class _Settings:
    """What the process takes for given, as logarithms; targets have variance 1.

    Attributes:
        parts: (p,), how much each choice matters beside the others.
        order: how much choices matter together: of a pair's variance beside that of its choices.
        signal, noise: variances of the function and of the noise.
    """

    parts: Array
    order: float = math.log(0.3)
    signal: float = math.log(0.5)
    noise: float = math.log(0.5)

    def moved(self, random: np.random.Generator) -> _Settings:
        """Return settings near these: a few parts changed, or the other three."""
        if random.random() < 0.5:
            which = random.random(len(self.parts)) < max(1.5 / len(self.parts), 0.2)
            parts = self.parts + which * random.normal(0, 0.7, len(self.parts))
            return _Settings(parts, self.order, self.signal, self.noise)
        order, signal, noise = random.normal(0, (0.6, 0.4, 0.3))
        return _Settings(self.parts, self.order + order, self.signal + signal, self.noise + noise)

    def log_prior(self) -> float:
        """Return the log density up to a constant: independent normals around the defaults."""
        middle = _Settings(self.parts)
        away = [
            *(self.parts / _PARTS),
            (self.order - middle.order) / _ORDER,
            (self.signal - middle.signal) / _VARIANCE,
            (self.noise - middle.noise) / _VARIANCE,
        ]
        return -float(np.square(away).sum()) / 2

    @property
    def weights(self) -> Array:
        """The weight of each choice's squared distance, (p,)."""
        parts = np.exp(self.parts)
        return np.asarray(math.exp(self.order) * parts / parts.sum())

    @property
    def amplitude(self) -> float:
        """The variance of the function with what is common to all points."""
        return math.exp(self.signal) / -math.expm1(-math.exp(self.order))


class _Fit:
    """The process under one choice of settings."""

    def __init__(
        self, settings: _Settings, distances: Array, targets: Array, variance: Array
    ) -> None:
        self.settings = settings
        self._apart = np.tensordot(settings.weights, distances, 1)
        covariance = settings.amplitude * np.exp(-self._apart)
        noise = math.exp(settings.noise) + _JITTER + variance
        covariance[np.diag_indices_from(covariance)] += noise
        self._root = np.linalg.cholesky(covariance)
        self._solved = self._solve(targets)

    def _solve(self, right: Array) -> Array:
        solved: Array = solve_triangular(self._root, right, lower=True, check_finite=False)
        return solved

    def log_density(self) -> float:
        """Return the log of p(targets | settings) p(settings), up to a constant."""
        determinant = float(np.log(np.diag(self._root)).sum())
        return self.settings.log_prior() - float(self._solved @ self._solved) / 2 - determinant

    def averages(
        self, number: int, distances: Array, across: Array, among: Array, averaged: Mask
    ) -> tuple[Array, Array]:
        """Return mean (m,) and covariance (m, m) of the averages with each value of one choice.

        The kernel is a product over choices. Without this choice's factor its mean over the
        averaged trainings is the same for every value.

        Args:
            number: which choice.
            distances: (n, n), squared distances between the trainings in this choice.
            across, among: (m, n) and (m, m), from the values to the trainings and to each other.
            averaged: (n,), which trainings the averages are over.
        """
        weight, amplitude = self.settings.weights[number], self.settings.amplitude
        others = np.exp(weight * distances[averaged] - self._apart[averaged])
        cross = amplitude * np.exp(-weight * across) * others.mean(axis=0)
        prior = amplitude * np.exp(-weight * among) * others[:, averaged].mean()
        solved = self._solve(cross.T)
        return solved.T @ self._solved, prior - solved.T @ solved


def effects(
    blocks: Sequence[Block], targets: Array, variance: Array, averaged: Mask, seed: int = 0
) -> list[tuple[Array, Array, Array]]:
    """Return the effects of the shown values of each choice, and the ends of 95 % intervals.

    An effect is the average of the noise-free function over the averaged trainings if all had this
    value, less the mean of these averages over the choice's shown values. Intervals are of the
    joint posterior: correlations between points and between values are included.

    Args:
        blocks: the choices.
        targets: (n,), of mean 0 and standard deviation about 1.
        variance: (n,), of each target's noise beyond the common one.
        averaged: (n,), which trainings to average over.
        seed: of the random walk over settings.

    Returns:
        Of each block, effects and both ends, (m,) each.
    """
    distances = np.stack([_distances(block.known, block.known) for block in blocks])
    fits = _walk(distances, targets, variance, np.random.default_rng(seed))
    found = []
    for number, block in enumerate(blocks):
        across, among = (_distances(block.shown, b) for b in (block.known, block.shown))
        less = np.eye(len(block.shown)) - 1 / len(block.shown)
        means, deviations = [], []
        for fit in fits:
            mean, covariance = fit.averages(number, distances[number], across, among, averaged)
            means.append(less @ mean)
            deviations.append(np.sqrt(np.maximum(np.diag(less @ covariance @ less.T), 1e-18)))
        found.append(_interval(np.stack(means), np.stack(deviations)))
    return found


def _walk(
    distances: Array, targets: Array, variance: Array, random: np.random.Generator
) -> list[_Fit]:
    """Return fits whose settings are drawn from their posterior (Metropolis)."""
    fit = _Fit(_Settings(np.zeros(len(distances))), distances, targets, variance)
    density, kept = fit.log_density(), []
    for step in range(1, _STEPS + 1):
        other = _Fit(fit.settings.moved(random), distances, targets, variance)
        found = other.log_density()
        if math.log(random.random()) < found - density:
            fit, density = other, found
        if step > _BURN_IN and step % _EVERY == 0:
            kept.append(fit)
    return kept


def _distances(a: Array, b: Array) -> Array:
    """Return the squared distances between rows."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0))


def _interval(means: Array, deviations: Array) -> tuple[Array, Array, Array]:
    """Return mean and 95 % interval of a mixture of normals; rows are its parts."""

    def quantile(share: float) -> Array:
        low, high = (means - 9 * deviations).min(axis=0), (means + 9 * deviations).max(axis=0)
        for _ in range(50):
            middle = (low + high) / 2
            below = ndtr((middle - means) / deviations).mean(axis=0) < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)

    return means.mean(axis=0), quantile(0.025), quantile(0.975)
