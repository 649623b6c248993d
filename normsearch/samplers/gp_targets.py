"""What the process of the sampler gp is fitted to: each trial's expected final value, and noise.

Nothing here depends on the unit or the origin of the scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from normsearch.samplers.gp_coding import Array

_HUGE = 1e150  # its square is finite
_DIGITS = 9  # what rounding errors of the scores' unit reach lies below


@dataclass(frozen=True)
class Finished:
    """A finished trial: its coded parameters, its curve, and its final value if it has one.

    Larger values are better, and all are finite; a failed trial has neither curve nor value.
    """

    row: tuple[float, ...]
    curve: dict[int, float]
    value: float | None

    @property
    def scored(self) -> bool:
        """Whether there is any value."""
        return self.value is not None or bool(self.curve)


class History:
    """The finished trials of a search, in the order in which they were read.

    Adding one is all the Python that it costs: a suggestion passes through arrays.

    Attributes:
        rows: coded parameters of each trial.
        tried: the same without repetitions.
        scored: whether there is any value.
    """

    def __init__(self, known: Iterable[Finished] = ()) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.tried: set[tuple[float, ...]] = set()
        self.scored = False
        self._finals: list[float] = []  # NaN if there is none
        self._steps: list[int] = []  # where a trial without a final value ended; -1 for others
        self._lasts: list[float] = []  # the last value of the curve, NaN without one
        self._curves: dict[int, tuple[list[float], list[float]]] = {}  # by step; with final values
        for one in known:
            self.add(one)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, one: Finished) -> None:
        """Add a trial."""
        last = max(one.curve, default=-1)
        self.rows.append(one.row)
        self.tried.add(one.row)
        self.scored = self.scored or one.scored
        self._lasts.append(one.curve.get(last, math.nan))
        self._steps.append(last if one.value is None else -1)
        self._finals.append(math.nan if one.value is None else one.value)
        if one.value is not None:
            for step, value in one.curve.items():
                values, finals = self._curves.setdefault(step, ([], []))
                values.append(value)
                finals.append(one.value)

    def expected_finals(self) -> tuple[Array, Array]:
        """Return expected final values (n,) and their noise's variances (n,)."""
        targets, lasts, steps = map(np.array, (self._finals, self._lasts, self._steps))
        usual, noise = _usual_variance(targets, lasts), np.zeros(len(targets))
        for step in np.unique(steps[steps >= 0]).tolist():
            ended = steps == step
            slope, offset, noise[ended] = _line(*self._curves.get(step, ([], [])), usual)
            targets[ended] = offset + slope * lasts[ended]
        targets = np.clip(targets, -_HUGE, _HUGE)
        targets[np.isnan(targets)] = np.nanmin(targets)
        return targets, noise


def standardized(targets: Array, noise: Array) -> tuple[Array, Array]:
    """Return clipped targets of mean 0 and standard deviation 1, and the noise in this unit."""
    middle, unit = scale(targets)
    scaled: Array = (clipped(targets) - middle) / unit
    spread: Array = noise / unit**2
    # Points that are equally good stay so in any unit.
    return scaled.round(_DIGITS), spread.round(_DIGITS)


def scale(targets: Array) -> tuple[float, float]:
    """Return mean and standard deviation of the clipped targets; 1 where all are equal."""
    targets = clipped(targets)
    return float(targets.mean()), float(targets.std()) or 1.0


def clipped(values: Array) -> Array:
    """Return values of which none is so far from the rest that it dominates their scale.

    Below, the limit is three interquartile ranges under the median. Above, it is three times as far
    from the median as the 90% quantile, so that the best of many poor trials can be told apart.
    """
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    top = np.quantile(values, 0.9, method="lower")  # not interpolated towards an outlier
    if top <= middle:
        top = np.min(values[values > middle], initial=values.max())
    return np.clip(values, middle - 3 * (high - low), middle + 3 * (top - middle))


def _usual_variance(finals: Array, lasts: Array) -> float:
    """Return the variance of final values, or of the last ones where few are final."""
    values = finals[~np.isnan(finals)]
    if len(values) < 2:
        values = lasts[~np.isnan(lasts)]
    return float(clipped(np.clip(values, -_HUGE, _HUGE)).var()) if len(values) else 0.0


def _line(
    values: Sequence[float], finals: Sequence[float], usual: float
) -> tuple[float, float, float]:
    """Return slope and offset of the line from early to final values, and the variance about it.

    With fewer than 4 of them, the early value is taken for the final one, with a variance of
    `usual`.
    """
    if len(values) < 4:
        return 1.0, 0.0, usual
    early, final = (clipped(np.clip(each, -_HUGE, _HUGE)) for each in (values, finals))
    spread = early.var() + 1e-4 * final.var()
    slope = np.cov(early, final, bias=True)[0, 1] / spread if spread else 0.0
    slope = float(np.clip(slope, 0.1, 2.0))
    rest = final - slope * early
    return slope, float(rest.mean()), float(rest.var())
