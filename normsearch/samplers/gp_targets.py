"""What the process of the sampler gp is fitted to: each trial's expected final value, and noise.

Nothing here depends on the unit or the origin of the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def expected_finals(known: Sequence[Finished]) -> tuple[Array, Array, Array]:
    """Return coded rows (n, p), expected final values (n,) and their noise's variances (n,)."""
    lines, usual = _lines(known), _usual_variance(known)
    values, variances = [], []
    for one in known:
        if one.value is not None or not one.scored:
            values.append(math.nan if one.value is None else one.value)
            variances.append(0.0)
        else:
            step = max(one.curve)
            slope, offset, variance = lines.get(step, (1.0, 0.0, usual))
            values.append(offset + slope * one.curve[step])
            variances.append(variance)
    targets = np.clip(np.array(values, dtype=np.float64), -_HUGE, _HUGE)
    targets[np.isnan(targets)] = np.nanmin(targets)
    return np.array([one.row for one in known]), targets, np.array(variances)


def standardized(targets: Array, noise: Array) -> tuple[Array, Array]:
    """Return clipped targets of mean 0 and standard deviation 1, and the noise in this unit."""
    targets = clipped(targets)
    deviation = float(targets.std()) or 1.0
    scaled: Array = (targets - targets.mean()) / deviation
    spread: Array = noise / deviation**2
    # Points that are equally good stay so in any unit.
    return scaled.round(_DIGITS), spread.round(_DIGITS)


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


def _usual_variance(known: Sequence[Finished]) -> float:
    """Return the variance of final values, or of the last ones where few are final."""
    values = [one.value for one in known if one.value is not None]
    if len(values) < 2:
        values = [one.curve[max(one.curve)] for one in known if one.curve]
    return float(clipped(np.clip(values, -_HUGE, _HUGE)).var()) if values else 0.0


def _lines(known: Sequence[Finished]) -> dict[int, tuple[float, float, float]]:
    """Return, by step, slope and offset of the line to the final value, and variance about it."""
    complete = [one for one in known if one.value is not None]
    wanted = {max(one.curve) for one in known if one.value is None and one.curve}
    lines = {}
    for step in wanted:
        pairs = [(one.curve[step], one.value) for one in complete if step in one.curve]
        if len(pairs) >= 4:
            found = np.clip(np.array(pairs, dtype=float).T, -_HUGE, _HUGE)
            early, final = clipped(found[0]), clipped(found[1])
            spread = early.var() + 1e-4 * final.var()
            slope = np.cov(early, final, bias=True)[0, 1] / spread if spread else 0.0
            slope = float(np.clip(slope, 0.1, 2.0))
            rest = final - slope * early
            lines[step] = (slope, float(rest.mean()), float(rest.var()))
    return lines
