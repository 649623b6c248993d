"""The covariance of two configurations: of all parameters together, of each, of norms and pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

from normsearch.samplers.gp_coding import Array, Coding

_TOGETHER = 0.3  # share of the covariance that falls with every parameter that differs
_ALONE = 0.4  # of what each parameter adds by itself
_SHARED = 0.15  # of what a norm adds in whichever slot it is
_PAIRS = 0.15  # of what two neighbouring slots add together


_Codes = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Points:
    """Configurations as the kernel takes them.

    Attributes:
        features: (n, f), see `Coding.features`.
        choices: (c, n), the number of each choice.
        numbers: (q, n), features of the numbers.
        pairs: (s - 1, n), the number of the two norms of neighbouring slots, in order of depth.
        shares: (n, k), the share of the slots that has each norm.
    """

    features: Array
    choices: _Codes
    numbers: Array
    pairs: _Codes
    shares: Array

    def followed_by(self, other: Points) -> Points:
        """Return these points and then the others."""
        return Points(
            np.concatenate((self.features, other.features)),
            np.concatenate((self.choices, other.choices), axis=1),
            np.concatenate((self.numbers, other.numbers), axis=1),
            np.concatenate((self.pairs, other.pairs), axis=1),
            np.concatenate((self.shares, other.shares)),
        )


class Kernel:
    """The covariance function of a space, at most 1.

    It is exp(-sum of weight x squared distance) over all parameters. With two slots or more, this
    is one part of four, and the others do not depend on the weights: the mean over parameters of a
    covariance of each alone, which lets one effect add to another; the same for each norm,
    whichever slot it is in; and the share of neighbouring slots that have the same two norms. Slots
    are the parameters that choose among texts, two of which another parameter has too.
    """

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        texts = _texts_of_slots(coding.space)
        kinds = list(dict.fromkeys(text for choices in texts.values() for text in choices))
        self._slots = {
            column: np.array([kinds.index(text) for text in choices])
            for column, choices in texts.items()
        }
        self._kinds = np.arange(len(kinds))
        self._choices = np.array(coding.sizes, dtype=np.intp) > 0

    @property
    def _has_parts(self) -> bool:
        return len(self._slots) > 1

    def points(self, rows: Array) -> Points:
        """Return the points of coded rows (n, p)."""
        norms = np.zeros((len(self._slots), len(rows)), dtype=np.intp)
        for place, (column, kinds) in enumerate(self._slots.items()):
            norms[place] = kinds[rows[:, column].astype(np.intp)]
        return Points(
            features=self._coding.features(rows),
            choices=_small(rows[:, self._choices].T),
            numbers=2 * rows[:, ~self._choices].T,
            pairs=_small(norms[:-1] * len(self._kinds) + norms[1:]),
            shares=(norms.T[:, :, None] == self._kinds).sum(axis=1) / max(len(norms), 1),
        )

    def unweighted(self, a: Points, b: Points) -> Array:
        """Return the sum (n, m) of the parts that do not depend on the weights."""
        if not self._has_parts:
            return np.zeros((len(a.features), len(b.features)))
        # A choice contributes 1 where it is the same, a number 1 / (1 + squared distance).
        alike = _matches(a.choices, b.choices).astype(np.float64) * (_ALONE / len(self._choices))
        for x, y in zip(a.numbers, b.numbers, strict=True):
            alike += _ALONE / len(self._choices) / (1 + (x[:, None] - y) ** 2)
        alike += _PAIRS / len(a.pairs) * _matches(a.pairs, b.pairs)
        alike += _SHARED * a.shares @ b.shares.T
        return alike

    def between(self, a: Points, b: Points, weights: Array, unweighted: Array) -> Array:
        """Return the covariance (n, m) by the parameters' weights (p,) and `unweighted`."""
        root = np.sqrt(weights)[self._coding.owner]
        left = a.features * root
        right = left if a is b else b.features * root  # the product with itself costs half
        covariance = 2 * left @ right.T  # in place from here on, for speed
        covariance -= (left**2).sum(axis=1)[:, None]
        covariance -= (right**2).sum(axis=1)
        np.minimum(covariance, 0, out=covariance)
        np.exp(covariance, out=covariance)
        if self._has_parts:
            covariance *= _TOGETHER
            covariance += unweighted
        return np.asarray(covariance)

    def variances(self, points: Points) -> Array:
        """Return the covariance (n,) of each point with itself."""
        if not self._has_parts:
            return np.ones(len(points.features))
        shared: Array = (points.shares**2).sum(axis=1)
        return _TOGETHER + _ALONE + _PAIRS + _SHARED * shared


def _small(numbers: npt.NDArray[Any]) -> _Codes:
    """Return whole numbers of 0 or more in the smallest type, which is compared the fastest."""
    kind = np.min_scalar_type(int(numbers.max(initial=0)))
    return np.ascontiguousarray(numbers, dtype=kind)


def _matches(a: _Codes, b: _Codes) -> npt.NDArray[np.uint16]:
    """Return in how many rows the columns (n,) of `a` and (m,) of `b` agree."""
    count = np.zeros((a.shape[1], b.shape[1]), dtype=np.min_scalar_type(len(a)))
    for x, y in zip(a, b, strict=True):
        count += (x[:, None] == y).view(np.uint8)
    return count


def _texts_of_slots(space: dict[str, BaseDistribution]) -> dict[int, tuple[Any, ...]]:
    """Return the choices of each parameter that is a slot, by its column."""
    texts = {
        column: kind.choices
        for column, kind in enumerate(space.values())
        if isinstance(kind, CategoricalDistribution)
        and all(isinstance(choice, str) for choice in kind.choices)
    }
    return {
        column: choices
        for column, choices in texts.items()
        if any(len({*choices} & {*texts[other]}) > 1 for other in texts if other != column)
    }
