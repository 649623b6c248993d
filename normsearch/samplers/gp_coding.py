"""Parameters of a space as rows of numbers, their features, and rows near others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

Array = npt.NDArray[np.float64]


class Coding:
    """Parameters as rows of numbers: a category is its index, a number is scaled to [0, 1]."""

    def __init__(self, space: dict[str, BaseDistribution]) -> None:
        self.space = space
        self.sizes = [len(d.choices) if _is_choice(d) else 0 for d in space.values()]  # type: ignore[attr-defined]
        widths = [size or 1 for size in self.sizes]
        self.owner = np.repeat(np.arange(len(space)), widths)

    def row(self, params: dict[str, object]) -> tuple[float, ...]:
        """Return `params` as numbers, in the space's order."""
        return tuple(_encode(d, params[name]) for name, d in self.space.items())

    def params(self, row: Sequence[float]) -> dict[str, object]:
        """Return the parameters of a row."""
        return {
            name: _decode(d, value)
            for (name, d), value in zip(self.space.items(), row, strict=True)
        }

    def features(self, rows: Array) -> Array:
        """Return features (n, f); the squared distance of rows that differ in one category is 1."""
        columns = []
        for column, size in zip(rows.T, self.sizes, strict=True):
            if size:
                columns.append((column[:, None] == np.arange(size)) / math.sqrt(2))
            else:
                columns.append(2 * column[:, None])
        return np.concatenate(columns, axis=1)

    def uniform(self, rng: np.random.Generator, count: int) -> Array:
        """Return `count` rows drawn uniformly from the whole space."""
        columns = [rng.integers(s, size=count) if s else rng.random(count) for s in self.sizes]
        return np.stack(columns, axis=1).astype(np.float64)

    def neighbours(self, rng: np.random.Generator, rows: Array) -> Array:
        """Return `rows` with one or more choices redrawn, and numbers slightly changed."""
        share = np.maximum(1.5 / len(self.sizes), 0.3 * rng.random((len(rows), 1)))
        drawn = np.where(rng.random(rows.shape) < share, self.uniform(rng, len(rows)), rows)
        numbers = np.array(self.sizes) == 0
        drawn[:, numbers] = _moved(rng, rows[:, numbers])
        return drawn

    def changed(self, rng: np.random.Generator, row: Array) -> Array:
        """Return copies of one row (p,), each with one choice or number changed."""
        others = [
            np.delete(np.arange(size), int(value)) if size else _moved(rng, np.full(4, value))
            for value, size in zip(row, self.sizes, strict=True)
        ]
        drawn = np.repeat(row[None], sum(map(len, others)), axis=0)
        columns = np.repeat(np.arange(len(row)), [len(values) for values in others])
        drawn[np.arange(len(drawn)), columns] = np.concatenate(others)
        return drawn


def _moved(rng: np.random.Generator, places: Array) -> Array:
    return np.clip(places + rng.normal(0, 0.1, places.shape), 0, 1)


def _is_choice(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, CategoricalDistribution)


def _bounds(d: BaseDistribution) -> tuple[float, float, bool]:
    low, high, log = d.low, d.high, d.log  # type: ignore[attr-defined]
    return (math.log(low), math.log(high), True) if log else (low, high, False)


def _encode(distribution: BaseDistribution, value: object) -> float:
    inner = distribution.to_internal_repr(value)
    if _is_choice(distribution):
        return inner
    low, high, log = _bounds(distribution)
    return ((math.log(inner) if log else inner) - low) / (high - low)


def _decode(distribution: BaseDistribution, place: float) -> object:
    if _is_choice(distribution):
        return distribution.to_external_repr(place)
    low, high, log = _bounds(distribution)
    value = low + place * (high - low)
    value = _on_grid(distribution, math.exp(value) if log else value)
    return distribution.to_external_repr(min(max(value, distribution.low), distribution.high))  # type: ignore[attr-defined]


def _on_grid(distribution: BaseDistribution, value: float) -> float:
    """Return the nearest value that the distribution's step allows."""
    low, step = distribution.low, distribution.step  # type: ignore[attr-defined]
    return value if step is None else low + round((value - low) / step) * step
