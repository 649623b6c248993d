"""Detects masks with artificial values, from JPEG, anti-aliasing or interpolation.

Such a mask has, in addition to the values of its classes, artificial values where classes meet.
Most voxels of an artificial value lie in no square of 2 x 2 voxels of that value. In addition, they
are either strictly between the minimum and maximum around them (3 x 3, in plane) or, after JPEG,
within 16 of a common value, if the common values are at least 64 apart. Even small classes fill
squares, so an atlas of a hundred structures has no artificial values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.faults import Fault

_SLICES = 32  # examined, evenly spaced
_FEWEST = 2  # artificial values that make a fault
_MOSTLY = 0.5  # share of a value's voxels, and of the values but the most common
_COMMON = 0.005  # share of all voxels of a common value
_NEAR, _FAR = 16, 64  # grey values

Array = npt.NDArray[Any]


def smear_fault(case: str, path: Path, mask: Array) -> list[Fault]:
    """Return a warning if a mask, (z, y, x) of whole numbers 0 to 255, has artificial values."""
    made_up, others = made_up_values(mask)
    if len(made_up) < _FEWEST or len(made_up) <= _MOSTLY * others:
        return []
    found = f"{others + 1} values, of which {len(made_up)} occur only at edges"
    usual = int(np.bincount(mask[mask > 0].astype(np.uint8)).argmax())
    cure = (
        "JPEG, smoothing or interpolation created them: threshold the mask, for example at half "
        f"its greatest value, and save it as PNG or NRRD without smoothing; foreground: [{usual}] "
        "would leave the edges out"
    )
    expected = "hold only the values of its classes"
    return [Fault("smeared", case, str(path), expected, found, cure, "warning")]


def made_up_values(mask: Array) -> tuple[list[int], int]:
    """Return the artificial values, and the number of values other than the most common one."""
    planes = mask[np.linspace(0, len(mask) - 1, min(len(mask), _SLICES)).astype(int)]
    planes = planes.astype(np.uint8, copy=False)
    counts = np.bincount(planes.ravel(), minlength=256)
    values = np.flatnonzero(counts)
    if len(values) < _FEWEST + 2 or min(planes.shape[1:]) < 3:
        return [], len(values) - 1
    alone = ~_in_a_square(planes)
    single = np.bincount(planes[alone], minlength=256)
    between = np.bincount(planes[alone & _between(planes)], minlength=256)
    solid = np.flatnonzero((single <= _MOSTLY * counts) & (counts > _COMMON * planes.size))
    far = len(solid) > 1 and int(np.diff(solid).min()) >= _FAR

    def made_up(value: int) -> bool:
        near = far and 0 < np.abs(solid - value).min() <= _NEAR
        return bool((single if near else between)[value] > _MOSTLY * counts[value])

    return [int(value) for value in values if made_up(int(value))], len(values) - 1


def _between(planes: Array) -> Array:
    """Return where a voxel lies strictly between the minimum and maximum around it."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = [padded[:, i : i + planes.shape[1]] for i in range(3)]
    low, high = np.minimum.reduce(rows), np.maximum.reduce(rows)
    width = planes.shape[2]
    low = np.minimum.reduce([low[:, :, i : i + width] for i in range(3)])
    high = np.maximum.reduce([high[:, :, i : i + width] for i in range(3)])
    return np.asarray((low < planes) & (planes < high))


def _in_a_square(planes: Array) -> Array:
    """Return where a voxel is part of a square of 2 x 2 equal voxels."""
    right = planes[:, :, 1:] == planes[:, :, :-1]
    below = planes[:, 1:] == planes[:, :-1]
    square = right[:, 1:] & right[:, :-1] & below[:, :, 1:]
    found = np.zeros(planes.shape, bool)
    for y in (slice(None, -1), slice(1, None)):
        for x in (slice(None, -1), slice(1, None)):
            found[:, y, x] |= square
    return found
