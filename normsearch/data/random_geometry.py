"""Random rotation, scaling, elastic deformation and mirroring, as one resampling of a sample.

A voxel p of the changed sample, counted from the centre, shows the voxel M · (p + u(p)) of the
given one. M is the product of the drawn rotations and scalings, and u the elastic displacement: a
cubic B-spline over control points (Rueckert et al., 1999, 10.1109/42.796284), four intervals along
each side. As no control point moves by more than 0.4 of an interval, nothing folds (Choi and Lee,
2000, 10.1006/gmod.2000.0531).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.data.random_transforms import AXES, Transform

Array = npt.NDArray[Any]
_INTERVALS = 4


@dataclass(frozen=True)
class Geometry:
    """The drawn geometry of a sample.

    Attributes:
        matrix: M, (n, n) for n spatial axes in the order z, y, x, from offsets in voxels of the
            changed sample to those of the given one; None if nothing is turned or scaled.
        control: displacements of the control points, (n, 7, ...), as shares of the sides; or None.
        mirrored: the axes that are mirrored, last of all.
    """

    matrix: Array | None = None
    control: Array | None = None
    mirrored: frozenset[str] = frozenset()

    @property
    def resamples(self) -> bool:
        """Whether values are interpolated."""
        return self.matrix is not None or self.control is not None


def draw_geometry(
    transforms: Sequence[Transform], dims: int, random: np.random.Generator
) -> Geometry:
    """Return a drawn geometry over the last `dims` axes; mirroring is along any axis.

    Args:
        transforms: those that move voxels; they act in this order.
        dims: 2 or 3.
        random: the sample's generator.
    """
    matrix: Array | None = None
    control: Array | None = None
    mirrored = frozenset[str]()
    for transform in transforms:
        if transform.name == "mirroring":
            chosen = {axis for axis in transform.axes if random.random() < transform.chance}
            mirrored = mirrored.symmetric_difference(chosen)
        elif random.random() >= transform.chance:
            continue
        elif transform.name == "elastic":
            moved = random.uniform(-1, 1, (dims, *[_INTERVALS + 3] * dims))
            moved *= random.uniform(*transform.between)
            control = moved if control is None else control + moved
        else:
            own = _rotation if transform.name == "rotation" else _scaling
            matrix = (np.eye(dims) if matrix is None else matrix) @ own(transform, dims, random)
    return Geometry(matrix, control, mirrored)


def _rotation(transform: Transform, dims: int, random: np.random.Generator) -> Array:
    """Return the inverse of a rotation: about z counter-clockwise, as a slice is shown."""
    found = np.eye(dims)
    for plane in combinations(range(dims), 2):
        about = next(axis for i, axis in enumerate(AXES) if i - 3 + dims not in plane)
        if transform.axes and about not in transform.axes:
            continue
        angle = math.radians(random.uniform(*transform.between))
        turned = np.eye(dims)
        turned[np.ix_(plane, plane)] = [
            [math.cos(angle), math.sin(angle)],
            [-math.sin(angle), math.cos(angle)],
        ]
        found = found @ turned
    return found


def _scaling(transform: Transform, dims: int, random: np.random.Generator) -> Array:
    low, high = transform.between
    return np.eye(dims) * random.uniform(1 / high, 1 / low)


def move(image: Tensor, label: Tensor, geometry: Geometry, dims: int) -> tuple[Tensor, Tensor]:
    """Return an image and its label changed alike.

    Images are interpolated linearly, with each channel's minimum outside. A label takes the nearest
    value, and 0 outside; class indices and `IGNORED` are never blended.

    Args:
        image: float32, (channels, slices, *axes); all slices of a channel change alike.
        label: uint8, (slices, *axes), or () for the class of an image, which stays.
        geometry: the drawn one.
        dims: the number of its axes, the last of the image.
    """
    if geometry.resamples:
        grid = sampling_grid(geometry, image.shape[-dims:])
        floor = image.flatten(1).amin(1).reshape(-1, *[1] * (image.ndim - 1))
        image = _sampled(image - floor, grid, "bilinear") + floor
        if label.ndim:
            label = _sampled(label.float(), grid, "nearest").to(label.dtype)
    places = [AXES.index(axis) - 3 for axis in sorted(geometry.mirrored)]
    if places:
        image, label = image.flip(places), label.flip(places) if label.ndim else label
    return image, label


def _sampled(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    found = functional.grid_sample(
        values.reshape(1, -1, *grid.shape[:-1]), grid[None], mode=mode, align_corners=False
    )
    return found.reshape(values.shape)


def sampling_grid(geometry: Geometry, sides: Sequence[int]) -> Tensor:
    """Return where each voxel is sampled, float32, (*sides, n), as `grid_sample` expects it."""
    dims = len(sides)
    # Offsets from the centre along each axis, as shares of the side, for broadcasting.
    points = [
        ((torch.arange(side) + 0.5) / side - 0.5).reshape(-1, *[1] * (dims - 1 - axis))
        for axis, side in enumerate(sides)
    ]
    if geometry.control is not None:
        bent = geometry.control
        for side in sides:  # replaces the first axis of control points by voxels, at the end
            bent = np.tensordot(bent, _basis(side), (1, 1))
        moved = torch.from_numpy(np.ascontiguousarray(bent, np.float32))
        points = [point + own for point, own in zip(points, moved, strict=True)]
    if geometry.matrix is not None:
        lengths = np.asarray(sides, float)  # the matrix is of voxels
        matrix = (geometry.matrix * lengths[None, :] / lengths[:, None]).tolist()
        points = [_weighted(row, points) for row in matrix]
    # From -1 to 1, in the order x, y, z.
    return torch.stack([point.expand(*sides) for point in points[::-1]], -1) * 2


def _weighted(weights: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
    found = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        found = found + weight * part
    return found


@lru_cache(maxsize=32)
def _basis(side: int) -> Array:
    """Return the weight of each control point at each voxel of a side, (side, 7)."""
    from scipy.interpolate import BSpline

    knots = np.arange(-3.0, _INTERVALS + 4)
    places = (np.arange(side) + 0.5) / side * _INTERVALS
    found: Array = BSpline.design_matrix(places, knots, 3).toarray()
    return found
