"""The gain that a further full training of a search can be expected to bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from normsearch.samplers.fitted import FittedAnew
from normsearch.samplers.gp_coding import Array
from normsearch.samplers.gp_kernel import Points
from normsearch.samplers.gp_model import Process
from normsearch.samplers.gp_sampler import one_thread
from normsearch.samplers.gp_targets import clipped

_BEST = 10  # configurations whose neighbours are candidates


class _Forecast(FittedAnew):
    """A sampler that is asked what the next training may gain."""

    def gain(self, trials: Sequence[FrozenTrial], sign: int) -> float | None:
        """See `expected_gain`."""
        known = self._known(trials, self._choices(trials), sign)
        if known is None:
            return None
        places = np.array(sorted(known.tried))
        with one_thread():
            fits = self.fits(known)
            points = self._kernel.points(places)
            means = np.mean([fit.at(points)[0] for fit in fits], axis=0)
            best = places[np.argsort(-means, kind="stable")[:_BEST]]
            incumbent = self._kernel.points(best[:1])
            candidates = self._kernel.points(self._candidates(best))
            gains = np.mean([_gains(fit, candidates, incumbent) for fit in fits], axis=0)
        unit = float(clipped(known.expected_finals()[0]).std()) or 1.0
        return float(gains.max()) * unit


def _gains(process: Process, candidates: Points, incumbent: Points) -> Array:
    """Return how much one more training of each candidate is expected to gain.

    The change of a candidate's posterior mean by a noisy training has mean 0 and standard deviation
    s² / √(s² + n), of its variance s² and the noise's n.
    """
    mean, deviation = process.at(candidates)
    change = deviation**2 / np.sqrt(deviation**2 + process.noise)
    return expected_improvement(mean - process.at(incumbent)[0], change)


def expected_gain(trials: Sequence[FrozenTrial], sign: int = 1) -> float | None:
    """Return by how much one more full training may raise the mean of the best configuration.

    This is the largest expected improvement, over the configuration with the best posterior mean,
    of what the posterior mean of another will be after its training (the knowledge gradient of
    Frazier, Powell and Dayanik 2009, without what the training says of third configurations). The
    process is that of `normsearch.samplers.fitted`, and the candidates are those that the sampler
    gp would weigh up. The same trials give the same value.

    Args:
        trials: trials of a study in order of number, without repetitions.
        sign: 1 for a study that maximizes, -1 for one that minimizes.

    Returns:
        A value above 0 in the unit of the scores; None if nothing varies, or none has a score.
    """
    return _Forecast().gain(trials, sign)


def expected_improvement(above: Array, deviation: Array) -> Array:
    """Return E[max(0, x)] of normal x with mean `above` and this standard deviation (above 0)."""
    scaled = above / deviation
    density = np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi)
    improvement: Array = above * ndtr(scaled) + deviation * density
    return improvement
