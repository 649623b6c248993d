"""The canonical orientation, to which every image with a known orientation is converted.

Axes are permuted and flipped, never resampled: an oblique image stays oblique, and directions and
origin are updated.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from normsearch.data.geometry import Volume

Array = npt.NDArray[Any]
Plane = Literal["axial", "coronal", "sagittal"]

#: Plane of the slices -> world axes (0 left, 1 posterior, 2 superior) of slices, rows, columns.
PLANES: dict[Plane, tuple[int, int, int]] = {
    "axial": (2, 1, 0),
    "coronal": (1, 2, 0),
    "sagittal": (0, 2, 1),
}


class _Turn(NamedTuple):
    """Canonical axis k is the array's axis order[k], reversed if flips[k]."""

    order: tuple[int, ...]
    flips: tuple[bool, ...]


def is_oriented(volume: Volume) -> bool:
    """Return whether a volume gives the direction of its two or three axes in the patient.

    An axis of channels does not count. A stack, whose axis of slices is a list, is not oriented.
    """
    rows = _rows(volume)
    if rows is None or not volume.anatomical or len(rows) not in (2, 3):
        return False
    return bool(np.isfinite(rows).all())


def turned_otherwise(one: Volume, other: Volume, plane: Plane) -> bool:
    """Return whether two oriented volumes need different conversions to be canonical."""
    return is_oriented(one) and is_oriented(other) and _turn(one, plane) != _turn(other, plane)


def canonical(volume: Volume, plane: Plane | None = "axial") -> Volume:
    """Return a volume with its axes in canonical order and direction.

    The axes are those nearest to superior, posterior and left, with indices that grow in these
    directions, in the order of `plane`: (superior, posterior, left) for axial slices. An image of
    two axes has the axial order for any plane. A volume that is not oriented is returned unchanged,
    as is any volume if `plane` is None.
    """
    if plane is None or not is_oriented(volume) or volume.directions is None:
        return volume
    turn, first = _turn(volume, plane), _first(volume)
    order = (*range(first), *(axis + first for axis in turn.order))
    array = volume.array.transpose(order)
    directions = volume.directions[list(order)]
    origin = np.zeros(3) if volume.origin is None else np.asarray(volume.origin, np.float64)
    for axis, flipped in enumerate(turn.flips, first):
        if flipped:
            array = np.flip(array, axis)
            origin = origin + (array.shape[axis] - 1) * directions[axis]
            directions[axis] *= -1
    return replace(
        volume,
        array=np.ascontiguousarray(array),
        spacing=tuple(volume.spacing[axis] for axis in order),
        origin=None if volume.origin is None else tuple(float(place) for place in origin),
        directions=directions,
        kinds=tuple(volume.kinds[axis] for axis in order) if volume.kinds else (),
        header=None,
    )


def turned_back(mask: Array, image: Volume, plane: Plane | None = "axial") -> Array:
    """Return a mask on the grid of `canonical(image, plane)` in the stored axes of the image.

    Args:
        mask: on the canonical grid, without channels.
        image: as stored.
        plane: the argument of `canonical`.
    """
    if plane is None or not is_oriented(image):
        return mask
    turn = _turn(image, plane)
    flipped = np.flip(mask, tuple(axis for axis, flip in enumerate(turn.flips) if flip))
    return np.ascontiguousarray(flipped.transpose(np.argsort(turn.order)))


def _first(volume: Volume) -> int:
    return int(volume.kinds[:1] == ("vector",))


def _rows(volume: Volume) -> npt.NDArray[np.float64] | None:
    return None if volume.directions is None else volume.directions[_first(volume) :]


def _turn(volume: Volume, plane: Plane) -> _Turn:
    """Return the nearest axes; a tie (45 degrees) is resolved alike for any stored order."""
    rows = _rows(volume)
    rows = np.zeros((0, 3)) if rows is None else rows
    cosines = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    axes, rank = len(cosines), PLANES[plane if len(cosines) == 3 else "axial"]
    best: tuple[tuple[float, ...], _Turn] | None = None
    for order in itertools.permutations(range(axes)):
        for world in itertools.combinations(rank, axes):
            along = cosines[list(order), list(world)]
            turned = cosines[list(order)] * np.where(along < 0, -1.0, 1.0)[:, None]
            key = (round(float(np.abs(along).sum()), 5), *np.round(turned, 3).ravel().tolist())
            if best is None or key > best[0]:
                best = key, _Turn(order, tuple(bool(step < 0) for step in along))
    return best[1] if best else _Turn((), ())
