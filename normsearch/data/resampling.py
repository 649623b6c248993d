"""Resamples images and labels to a target spacing, and logits back to the image's own grid.

The rules are those of nnU-Net v2 (Isensee et al., Nature Methods 18, 2021): the field of view
stays, its edge values continue outside. Images are interpolated by cubic splines, labels class by
class and logits linearly. If the spacing before or after is anisotropic, the coarse axis is apart:
interpolation is within the planes across it, and each new plane is the nearest one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.data.spacing import Spacing, coarse_axis, spacing_text, unknown_axes
from normsearch.errors import DataError

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Resampling:
    """The way of an image to a target spacing, and of its logits back.

    Attributes:
        shape: (slices, y, x) of the image's own grid.
        new_shape: (slices, y, x) at the target spacing.
        coarse: the axis that is apart on the way to the target spacing, or None.
        coarse_back: the same on the way back.
    """

    shape: Shape
    new_shape: Shape
    coarse: int | None = None
    coarse_back: int | None = None

    @property
    def changes(self) -> bool:
        """Whether the two grids differ; otherwise nothing is interpolated."""
        return self.shape != self.new_shape

    def image(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return an image, float32 (slices, channels, y, x), at the target spacing.

        Values stay within those of the channel, or of the plane if an axis is apart.
        """
        if not self.changes:
            return image
        channels = [self._cubic(channel) for channel in image.swapaxes(0, 1)]
        return np.stack(channels, axis=1)

    def label(self, label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a label, class indices (slices, y, x), at the target spacing.

        Each index is interpolated alone, 1 where it is and 0 elsewhere, and the largest value wins;
        of equal ones that of the greater index. `IGNORED` is an index like any other.
        """
        if not self.changes:
            return label
        found = np.zeros(self.new_shape, np.uint8)
        best = torch.zeros(self.new_shape)
        for index in np.unique(label):
            there = torch.from_numpy((label == index).astype(np.float32))
            share = _linear(there[None], self.new_shape, self.coarse)[0]
            found[(share >= best).numpy()] = index
            best = torch.maximum(best, share)
        return found

    def back(self, logits: Tensor) -> Tensor:
        """Return logits (slices, K, y, x) on the image's own grid."""
        if not self.changes:
            return logits
        return _linear(logits.transpose(0, 1), self.shape, self.coarse_back).transpose(0, 1)

    def _cubic(self, channel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        axes = tuple(axis for axis in range(3) if axis != self.coarse)
        found = channel
        for axis in axes:
            found = _splines(found, axis, self.new_shape[axis])
        least, greatest = channel.min(axes, keepdims=True), channel.max(axes, keepdims=True)
        found = np.clip(found, least, greatest)
        if self.coarse is None:
            return found
        planes = _nearest(channel.shape[self.coarse], self.new_shape[self.coarse])
        return np.take(found, planes, self.coarse)


def resampling_to(shape: Sequence[int], spacing: Spacing, target: Sequence[float]) -> Resampling:
    """Return the resampling of an image to a target spacing.

    Args:
        shape: (slices, y, x).
        spacing: mm along slices, rows and columns; nan if unknown.
        target: mm along them; or along rows and columns, which keeps the slices.

    Raises:
        DataError: the spacing is unknown along an axis of the target.
    """
    if unknown := unknown_axes(spacing, target):
        raise DataError(
            f"a spacing must be known to resample an image to {spacing_text(target)}, and is "
            f"unknown along {' and '.join(unknown)}"
        )
    wanted = (spacing[0], *target)[-3:]
    slices, rows, columns = (
        side if math.isnan(step) else max(1, round(step / new * side))
        for side, step, new in zip(shape, spacing, wanted, strict=True)
    )
    own = shape[0], shape[1], shape[2]
    new = slices, rows, columns
    return Resampling(own, new, coarse_axis(spacing, wanted), coarse_axis(wanted, spacing))


def _splines(values: npt.NDArray[np.float32], axis: int, side: int) -> npt.NDArray[np.float32]:
    """Return values with another number of voxels along an axis, by cubic splines."""
    if values.shape[axis] == side:
        return values
    moved = np.ascontiguousarray(np.moveaxis(values, axis, 0))
    lines = _spline_weights(len(moved), side) @ moved.reshape(len(moved), -1)
    return np.moveaxis(np.asarray(lines).reshape(side, *moved.shape[1:]), 0, axis)


@functools.lru_cache(maxsize=64)
def _spline_weights(old: int, new: int) -> Any:
    """Return the sparse matrix (new, old) that interpolates `old` voxels at `new` ones.

    Splines of several axes are those of one axis after another, and each is linear in the values,
    so that this is a tenth of the work of `scipy.ndimage.zoom` on a volume, whose result on single
    voxels gives the columns. Weights fall by 0.27 a voxel; those below 1e-8 are left out.
    """
    columns = []
    for place in range(old):
        voxel = np.zeros(old)
        voxel[place] = 1
        column = scipy.ndimage.zoom(voxel, new / old, order=3, mode="nearest", grid_mode=True)
        column[np.abs(column) < 1e-8] = 0
        columns.append(scipy.sparse.csc_array(column[:, None].astype(np.float32)))
    return scipy.sparse.hstack(columns, format="csr")


def _nearest(old: int, new: int) -> npt.NDArray[np.intp]:
    """Return the index of the plane, of `old` ones, that is nearest to each of `new` ones."""
    return ((np.arange(new) + 0.5) * (old / new)).astype(np.intp).clip(max=old - 1)


def _linear(values: Tensor, shape: Sequence[int], coarse: int | None) -> Tensor:
    """Return (N, z, y, x) in another shape: linear, or along the coarse axis the nearest plane."""
    if coarse is None:
        size = tuple(shape)
        return functional.interpolate(values[None], size, mode="trilinear", align_corners=False)[0]
    planes = values.movedim(1 + coarse, 0)
    sides = [side for axis, side in enumerate(shape) if axis != coarse]
    found = functional.interpolate(planes, sides, mode="bilinear", align_corners=False)
    places = torch.from_numpy(_nearest(len(planes), shape[coarse])).to(values.device)
    return found[places].movedim(0, 1 + coarse)
