"""Segmentations of 3D Slicer, .seg.nrrd: named segments that may overlap, on layers.

A labelmap that Slicer exports as .nrrd may also name its segments. A voxel belongs to a segment if
the segment's layer has the segment's label value there. Values repeat on other layers, so only
names identify segments.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data import nrrd_file, nrrd_geometry
from normsearch.data.geometry import OutsideWarning, Volume
from normsearch.data.orientation import canonical, turned_back
from normsearch.errors import DataError, did_you_mean

Mask = npt.NDArray[np.bool_]

_KEY = re.compile(r"Segment(\d{1,6})_(ID|Name|LabelValue|Layer)")
_WHOLE_VOXELS = 0.01  # tolerance between two grids, in voxels


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of one file.

    Attributes:
        masks: the voxels of each segment, (z, y, x), by name, in the file's order.
        spacing: mm per axis.
        origin: the centre of the first voxel in mm, LPS, or None.
        directions: (3, 3) in mm per voxel, LPS, or None.
    """

    masks: dict[str, Mask]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None
    directions: npt.NDArray[np.float64] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the segments, in the file's order."""
        return tuple(self.masks)


def read_segments(path: Path, *, root: Path | None = None, max_bytes: int = 2**32) -> Segmentation:
    """Read a .seg.nrrd file. A file of a single voxel, as Slicer writes if empty, has empty masks.

    Args:
        path: the file.
        root: the folder that must contain a detached data file; the header's folder if None.
        max_bytes: the largest size of the voxels in memory, in bytes.

    Raises:
        DataError: the file cannot be read, or two segments have the same name.
    """
    path = Path(path)
    header, array = nrrd_file.read_array(path, root=root or path.parent, max_bytes=max_bytes)
    volume = nrrd_geometry.volume_of(path, header, array)
    layered = volume.kinds[:1] == ("vector",)
    layers = volume.array if layered else volume.array[None]
    if layers.ndim != 4:
        raise DataError(
            f"{path}: a segmentation must have three axes in space and at most one of layers, got "
            f"shape {array.shape}; export it again from 3D Slicer"
        )
    masks: dict[str, Mask] = {}
    for name, layer, value in _segments(path, header, len(layers)):
        if name in masks:
            raise DataError(
                f"{path}: segments must have names that differ, got '{name}' twice; rename one"
            )
        masks[name] = layers[layer] == value if layers[0].size > 1 else np.zeros((1, 1, 1), bool)
    directions = volume.directions
    return Segmentation(
        masks,
        volume.spacing[int(layered) :],
        volume.origin,
        directions[int(layered) :] if directions is not None else None,
    )


def segments_named(path: Path) -> dict[str, int] | None:
    """Return the label value of each segment that a file's header names; None if it names none.

    Raises:
        DataError: it is not a valid NRRD file, or a segment lacks a name or value.
    """
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return None
    header = nrrd_file.read_header(path)
    if not any(_KEY.fullmatch(key) for key in header):
        return None
    return {name: value for name, _, value in _segments(path, header, None)}


def same_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that equals `name`, ignoring case if necessary, or None."""
    known = list(names)
    if name in known:
        return name
    alike = [one for one in known if one.casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def label_of_segments(
    path: Path, names: Sequence[str], like: Volume, *, optional: bool = False
) -> Volume:
    """Return the label of chosen segments on an image's grid: uint8, k + 1 for names[k].

    3D Slicer crops a segmentation to its segments; this function undoes it. Voxels outside the
    image are ignored.

    Args:
        path: the segmentation.
        names: the names of the segments.
        like: the image.
        optional: treat missing segments as empty instead of raising an error.

    Raises:
        DataError: a name is not among the segments, chosen segments overlap, or the grids differ
            by more than a shift of whole voxels.
    """
    if like.array.ndim != 3 or not all(like.in_space):
        raise DataError(
            f"{path}: segments must be laid on an image of three axes in space, got shape "
            f"{like.array.shape} and spacing {like.spacing}; take one channel of it"
        )
    found, grid = _turned(read_segments(path)), canonical(like)
    label = np.zeros(grid.array.shape, np.uint8)
    there, here = _overlap(path, found, grid)
    lost = dict.fromkeys(names, 0)
    for number, name in enumerate(names, start=1):
        there_as = same_name(name, found.masks)
        if there_as is None and optional:
            continue
        if there_as is None:
            raise DataError(
                f"{path}: must have the segment '{name}', got {', '.join(found.names) or 'none'}."
                + did_you_mean(name, found.names)
            )
        mask, part = found.masks[there_as][there], label[here]
        lost[name] = int(found.masks[there_as].sum() - mask.sum())
        taken = part[mask]
        if taken.any():
            raise DataError(
                f"{path}: chosen segments must not overlap, got '{name}' and "
                f"'{names[int(taken.max()) - 1]}' on {np.count_nonzero(taken)} voxels; "
                "choose one of them or merge them"
            )
        part[mask] = number
    if outside := ", ".join(f"{count} of '{name}'" for name, count in lost.items() if count):
        warnings.warn(outside, OutsideWarning, stacklevel=2)
    label = turned_back(label, like)
    return Volume(label, like.spacing, like.origin, like.directions, like.kinds)


def _turned(found: Segmentation) -> Segmentation:
    """Return segments in canonical orientation."""
    masks, grid = {}, None
    for name, mask in found.masks.items():
        grid = canonical(Volume(mask, found.spacing, found.origin, found.directions))
        masks[name] = grid.array
    return Segmentation(masks, grid.spacing, grid.origin, grid.directions) if grid else found


def refuse_writing(path: Path, volume: Volume) -> None:
    """Refuse to write a .seg.nrrd: a label has no names of segments.

    Raises:
        DataError: always.
    """
    raise DataError(f"{path}: segmentations are only read; write the label as .nrrd")


def _segments(path: Path, header: dict[str, Any], layers: int | None) -> list[tuple[str, int, int]]:
    """Return the name, the layer and the label value of each segment, in order.

    `layers` is the number of layers, None if unknown.
    """
    fields: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        if match := _KEY.fullmatch(key):
            fields.setdefault(int(match[1]), {})[match[2]] = str(value)
    found = []
    for number, own in sorted(fields.items()):
        name = (own.get("Name") or own.get("ID", "")).strip()
        # In older files each segment has its own layer and the value 1
        layer, value = (
            own.get("Layer", str(number if layers != 1 else 0)),
            own.get("LabelValue", "1"),
        )
        numbers = all(len(text) < 10 and text.isdecimal() for text in (layer, value))
        if not name or not numbers or int(layer) >= (layers or 2**20):
            below = "" if layers is None else f" below {layers}"
            raise DataError(
                f"{path}: each segment must have a name, a layer{below} and a label value, "
                f"got '{name[:40]}', '{layer[:20]}' and '{value[:20]}'; export it again"
            )
        found.append((name, int(layer), int(value)))
    if not found:
        raise DataError(
            f"{path}: must name its segments, got none; it is no segmentation of 3D Slicer, so "
            "name it .nrrd"
        )
    return found


def _overlap(
    path: Path, found: Segmentation, like: Volume
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the overlap of masks and image, as slices of the masks and of the image."""
    sizes = next(iter(found.masks.values())).shape
    if math.prod(sizes) == 1:
        return (slice(0, 0),) * 3, (slice(0, 0),) * 3
    start = _shift(found, like, sizes)
    if start is None:
        raise DataError(
            f"{path}: a segmentation must lie on the grid of its image, of shape "
            f"{like.array.shape}, got one of shape {sizes} that is turned, scaled or between its "
            "voxels; export it with the image as its reference geometry"
        )
    begin, end = np.maximum(start, 0), np.minimum(start + sizes, like.array.shape)
    end = np.maximum(begin, end)
    there = tuple(slice(a, b) for a, b in zip(begin - start, end - start, strict=True))
    return there, tuple(slice(a, b) for a, b in zip(begin, end, strict=True))


def _shift(
    found: Segmentation, like: Volume, sizes: tuple[int, ...]
) -> npt.NDArray[np.int64] | None:
    """Return the voxel of the image at the first voxel of the masks, or None."""
    if found.directions is None or like.directions is None:
        return np.zeros(3, np.int64) if like.array.shape == sizes else None
    apart = np.subtract(found.origin or np.zeros(3), like.origin or np.zeros(3))
    start = np.linalg.solve(like.directions.T, apart)
    # The distance between the last voxels along each axis, in mm
    drift = np.linalg.norm(found.directions - like.directions, axis=1) * sizes
    whole = np.abs(start - np.rint(start)).max() < _WHOLE_VOXELS
    near = (drift < _WHOLE_VOXELS * np.asarray(like.spacing)).all()
    return np.rint(start).astype(np.int64) if whole and near else None
