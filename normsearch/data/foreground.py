"""Voxels of the classes of a case, found once, for patches that are centred on foreground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import Case, slice_blocks
from normsearch.labels import IGNORED

MOST = 10_000  # voxels of a class, as in nnU-Net

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Foreground:
    """Voxels of the classes that occur in a label.

    Attributes:
        shape: (z, y, x) of the label.
        voxels: indices into the flattened label, ascending, by class; at most `MOST` a class.
    """

    shape: tuple[int, ...]
    voxels: dict[int, npt.NDArray[np.unsignedinteger[Any]]]

    def draw(self, random: np.random.Generator) -> tuple[int, ...] | None:
        """Return a voxel (z, y, x) of a class that is drawn first; None without foreground."""
        if not self.voxels:
            return None
        own = list(self.voxels.values())[int(random.integers(len(self.voxels)))]
        place = np.unravel_index(int(own[int(random.integers(len(own)))]), self.shape)
        return tuple(map(int, place))


_FOREGROUND: WeakKeyDictionary[Case, Foreground] = WeakKeyDictionary()
_MINIMA: WeakKeyDictionary[Case, npt.NDArray[np.float32]] = WeakKeyDictionary()


def foreground_of(case: Case) -> Foreground:
    """Return the foreground of a case's label; it is found once in each process."""
    found = _FOREGROUND.get(case)
    if found is None:
        found = _FOREGROUND[case] = find_foreground(case.label)
    return found


def channel_minima(case: Case) -> npt.NDArray[np.float32]:
    """Return the smallest intensity of each channel of a case's image, found once."""
    found = _MINIMA.get(case)
    if found is None:
        least = [part.min(axis=(0, 2, 3)) for part in slice_blocks(case.image)]
        found = _MINIMA[case] = np.min(least, axis=0)
    return found


def find_foreground(label: Array) -> Foreground:
    """Return the foreground of a label, (z, y, x); background and `IGNORED` are none.

    Of a class with more than `MOST` voxels, `MOST` are drawn, the same ones each time.
    """
    found: dict[int, tuple[Array, Array]] = {}
    kind = np.min_scalar_type(math.prod(label.shape))
    randoms: dict[int, np.random.Generator] = {}
    first = 0  # the flat index of the part's first voxel
    for part in slice_blocks(label):
        for number in np.flatnonzero(np.bincount(part.ravel())).tolist():
            if number in (0, IGNORED):
                continue
            random = randoms.setdefault(number, np.random.default_rng(number))
            voxels = (np.flatnonzero(part == number) + first).astype(kind)
            found[number] = _fewest(found.get(number), voxels, random)
        first += part.size
    return Foreground(label.shape, {number: found[number][0] for number in sorted(found)})


def _fewest(
    known: tuple[Array, Array] | None, voxels: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return at most `MOST` of the known and new voxels, with the random keys they are kept by.

    The `MOST` smallest keys are a uniform draw, however the voxels come in parts.
    """
    keys = random.random(len(voxels))
    if known:
        voxels, keys = np.concatenate((known[0], voxels)), np.concatenate((known[1], keys))
    if len(voxels) <= MOST:
        return voxels, keys
    kept = np.sort(np.argpartition(keys, MOST)[:MOST])
    return voxels[kept], keys[kept]
