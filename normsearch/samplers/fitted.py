"""The posterior of the process that the sampler gp uses, fitted anew and the same at every call.

A sampler's own process depends on what it was asked before. A decision that several programs must
agree on, such as which configuration a search recommends, needs one that depends on the trials
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from normsearch.samplers.gp_model import Process
from normsearch.samplers.gp_sampler import GaussianProcessSampler, one_thread
from normsearch.samplers.gp_targets import History, scale

_FITS, _BURN_IN = 45, 15  # each is a few steps of the random walk from the one before


class FittedAnew(GaussianProcessSampler):
    """A sampler that is asked for its process instead of suggestions; its seed is fixed."""

    def __init__(self) -> None:
        super().__init__(seed=0, startup=1)

    def fits(self, known: History) -> list[Process]:
        """Return processes of the same trials under draws of the weights and the noise."""
        process, fits = self._fitted(known, *known.expected_finals()), []
        for _ in range(_FITS):
            process = self._walked(process)
            fits.append(process)
        return fits[_BURN_IN:]

    def means(self, trials: Sequence[FrozenTrial], sign: int) -> dict[int, float]:
        """See `posterior_means`."""
        known = self._known(trials, self._choices(trials), sign)
        if known is None:
            return {}
        coded = {trial.number: self._row(trial) for trial in trials}
        places = sorted({row for row in coded.values() if row is not None})
        points = self._kernel.points(np.array(places))
        with one_thread():
            fits = [fit.at(points)[0] for fit in self.fits(known)]
        means = dict(zip(places, np.mean(fits, axis=0).tolist(), strict=True))
        return {number: means[row] for number, row in coded.items() if row is not None}

    def estimate(self, trials: Sequence[FrozenTrial], number: int, sign: int) -> Estimate | None:
        """See `estimate`."""
        known = self._known(trials, self._choices(trials), sign)
        row = next((self._row(trial) for trial in trials if trial.number == number), None)
        if known is None or row is None:
            return None
        with one_thread():
            fits = self.fits(known)
            point = self._kernel.points(np.array([row]))
            means, deviations = np.array([fit.at(point) for fit in fits])[:, :, 0].T
        targets, _ = known.expected_finals()
        middle, unit = scale(targets[self._kept(targets)])
        mean = middle + unit * float(means.mean())
        half = 1.96 * unit * math.sqrt((deviations**2).mean() + means.var())
        low, high = sorted((sign * (mean - half), sign * (mean + half)))
        return Estimate(sign * mean, low, high)


@dataclass(frozen=True)
class Estimate:
    """What the process says of a configuration's mean score over seeds, in the scores' unit.

    Attributes:
        mean: posterior mean.
        low, high: 95% credible interval.
    """

    mean: float
    low: float
    high: float


def estimate(trials: Sequence[FrozenTrial], number: int, sign: int = 1) -> Estimate | None:
    """Return the posterior of the configuration of one trial; see `posterior_means`.

    The interval is mean ± 1.96 standard deviations of the mixture over the process's draws. It is
    of a configuration given in advance: of the best of many the mean is a little too good.

    Args:
        trials: trials of a study in order of number, without repetitions.
        number: a trial's.
        sign: 1 for a study that maximizes, -1 for one that minimizes.

    Returns:
        None if the trial has no posterior mean.
    """
    return FittedAnew().estimate(trials, number, sign)


def posterior_means(trials: Sequence[FrozenTrial], sign: int = 1) -> dict[int, float]:
    """Return the posterior mean of the configuration of each trial, by the trial's number.

    The means are averages over draws of the process's weights and noise. Trainings of one
    configuration with several seeds are several rows of the process, so that the noise is learnt
    from how far they differ. A trial that failed, or that exceeds a constraint, counts as the
    worst. The same trials give the same means, in whatever order they finished.

    Args:
        trials: trials of a study in order of number, without repetitions, which would count as
            further trainings.
        sign: 1 for a study that maximizes, -1 for one that minimizes.

    Returns:
        Means of which larger is better, in units of one study alone. Trials that lack a parameter
        of the others are left out, as are all trials if nothing varies or none has a score.
    """
    return FittedAnew().means(trials, sign)
