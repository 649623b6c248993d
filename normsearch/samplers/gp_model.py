"""A Gaussian process over configurations whose kernel has weights to be learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dtrtri

from normsearch.samplers.gp_coding import Array
from normsearch.samplers.gp_kernel import Kernel, Points

_PRIOR_NOISE = math.log(0.3)  # of the targets' variance; a factor e wide, as are the weights
_JITTER = 1e-6


@dataclass(frozen=True)
class Beliefs:
    """The weight of each parameter and the noise of the targets, both as logarithms."""

    weights: Array
    noise: float

    @classmethod
    def prior(cls, parameters: int) -> Beliefs:
        """Return the prior's mean: points that differ in everything have correlation 1/e."""
        return cls(np.full(parameters, -math.log(parameters)), _PRIOR_NOISE)

    def moved(self, rng: np.random.Generator) -> Beliefs:
        """Return beliefs near these, with a few weights changed."""
        count = len(self.weights)
        which = rng.random(count) < max(2 / count, 0.2)
        weights = self.weights + which * rng.normal(size=count)
        return Beliefs(weights, self.noise + 0.5 * rng.normal())

    def log_prior(self) -> float:
        """Return the log density up to a constant: independent normals of standard deviation 1."""
        middle = Beliefs.prior(len(self.weights))
        squares = ((self.weights - middle.weights) ** 2).sum() + (self.noise - middle.noise) ** 2
        return float(-squares / 2)


class Process:
    """A Gaussian process on the points of a kernel.

    Args:
        kernel: the covariance function.
        points: (n,), those with targets.
        targets: (n,), of mean 0 and standard deviation about 1.
        noise: (n,), variance of each target beyond the common one.
        beliefs: weights and the common noise.
        unweighted: (n, n), what `Kernel.unweighted` returns for the points; computed if left out.
    """

    def __init__(
        self, kernel: Kernel, points: Points, targets: Array, noise: Array, beliefs: Beliefs,
        unweighted: Array | None = None,
    ) -> None:  # fmt: skip
        self.beliefs = beliefs
        self._kernel, self._points, self._targets, self._noise = kernel, points, targets, noise
        self._weights = np.exp(beliefs.weights)
        self._unweighted = kernel.unweighted(points, points) if unweighted is None else unweighted
        covariance = kernel.between(points, points, self._weights, self._unweighted)
        own = kernel.variances(points) + _JITTER + math.exp(beliefs.noise) + noise
        covariance[np.diag_indices_from(covariance)] = own
        # Transposed, the symmetric matrix has the order that LAPACK overwrites in place.
        self._cholesky = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
        self._solved = solve_triangular(self._cholesky, targets, lower=True, check_finite=False)
        self._square = float(self._solved @ self._solved) + 2  # of InvGamma(1, 1), see below
        self._amplitude = self._square / (len(self._solved) + 2)

    def given(self, beliefs: Beliefs) -> Process:
        """Return the process of the same targets under other beliefs."""
        return Process(
            self._kernel, self._points, self._targets, self._noise, beliefs, self._unweighted
        )

    def believing(self, points: Points) -> Process:
        """Return the process after trainings at `points` that end where it expects them to.

        Its means and its amplitude stay as they are, its deviations become less near the points
        (the kriging believer of Ginsbourger, Le Riche and Carraro 2010).
        """
        targets = np.concatenate((self._targets, self.at(points)[0]))
        noise = np.concatenate((self._noise, np.zeros(len(targets) - len(self._noise))))
        joined = self._points.followed_by(points)
        found = Process(self._kernel, joined, targets, noise, self.beliefs)
        found._amplitude = self._amplitude
        return found

    @cached_property
    def _inverse(self) -> Array:
        """The Cholesky factor's inverse, which is worth its cost from the second prediction on."""
        inverse: Array = dtrtri(self._cholesky, lower=1)[0]
        return inverse

    def log_evidence(self) -> float:
        """Return the log of p(targets | beliefs) p(beliefs), up to a constant.

        The kernel's amplitude is integrated over the prior InvGamma(1, 1), so the targets follow a
        multivariate t distribution of 2 degrees of freedom (Rasmussen and Williams 2006, ch. 9.9).
        """
        power = (len(self._solved) + 2) / 2
        determinant = float(np.log(np.diag(self._cholesky)).sum())
        return self.beliefs.log_prior() - power * math.log(self._square) - determinant

    @property
    def noise(self) -> float:
        """The variance of a target about the function, in the targets' unit."""
        return self._amplitude * math.exp(self.beliefs.noise)

    def at(self, points: Points) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noise-free function, each (m,)."""
        parts = self._kernel.unweighted(self._points, points)
        covariance = self._kernel.between(self._points, points, self._weights, parts)
        across = dtrmm(1.0, self._inverse, covariance, lower=1)
        known = np.einsum("ij,ij->j", across, across)
        rest = np.maximum(self._kernel.variances(points) - known, 1e-9)
        return across.T @ self._solved, np.sqrt(self._amplitude * rest)
