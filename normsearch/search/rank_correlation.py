"""Spearman's rank correlation: of two lists, of curves with their order, and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; NaN if one is constant."""
    one, two = (standardized(ranks(np.asarray(values, float))) for values in (first, second))
    return float(one @ two) if one.any() and two.any() else math.nan


def rank_correlations(curves: pd.DataFrame) -> Array:
    """Return Spearman's correlation of each row with the order of the columns; 0 if constant."""
    levels = standardized(np.arange(curves.shape[1], dtype=float))
    found: Array = standardized(curve_ranks(curves)) @ levels
    return found


def curve_ranks(curves: pd.DataFrame) -> Array:
    """Return the ranks of each row's values, columns in order."""
    return ranks(curves.sort_index(axis=1).to_numpy(float))


def ranks(values: Array) -> Array:
    """Return ranks from 1 on along the last axis, ties at their mean rank."""
    found: Array = pd.DataFrame(np.atleast_2d(values)).rank(axis=1).to_numpy(float)
    return found.reshape(values.shape)


def standardized(values: Array) -> Array:
    """Return values less their mean along the last axis, at length 1; 0 where all are equal."""
    away = values - values.mean(axis=-1, keepdims=True)
    length = np.sqrt((away**2).sum(axis=-1, keepdims=True))
    found: Array = np.divide(away, length, out=np.zeros_like(away), where=length > 0)
    return found


def spearman_interval(rho: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95% interval of a rank correlation over `count` > 3 pairs.

    Fisher's transform with the variance (1 + rho²/2) / (count − 3) of Bonett and Wright,
    Psychometrika 65 (2000).
    """
    centre = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, rho)))
    half = z * math.sqrt((1 + rho**2 / 2) / (count - 3))
    return math.tanh(centre - half), math.tanh(centre + half)
