"""Reads a case from its files, with all its faults."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import CaseFiles
from normsearch.data.checks import (
    channels_of,
    check_channels,
    check_forms,
    check_image,
    check_label,
    check_pair,
    coarse_in_plane,
    mixed_orientation,
    no_spacing,
    spacing_of,
)
from normsearch.data.faults import Fault, unreadable
from normsearch.data.geometry import OutsideWarning
from normsearch.data.idx import read_idx
from normsearch.data.nifti_file import forms_unlike
from normsearch.data.orientation import Plane, canonical, is_oriented, turned_otherwise
from normsearch.data.segments import label_of_segments, segments_named
from normsearch.data.smears import smear_fault
from normsearch.data.volume import SpacingWarning, Volume, read_volume
from normsearch.errors import DataError

Array = npt.NDArray[Any]


class Reader(Protocol):
    """Reads one file of a case."""

    def __call__(self, path: Path, *, root: Path | None) -> Volume: ...


@dataclass(frozen=True, eq=False)
class RawCase:
    """A case as stored in its files.

    Attributes:
        image: (channels, z, y, x) in the stored type and units.
        label: (z, y, x), the stored values; or (1,), the class of an image.
        spacing: mm along z, y, x; nan if unknown.
        values: the label values that occur, ascending.
        oriented: whether the image gives an orientation, so that the axes are canonical.
    """

    image: Array
    label: Array
    spacing: tuple[float, float, float]
    values: tuple[int, ...]
    oriented: bool = False


@dataclass(frozen=True, eq=False)
class Image:
    """The image of a case: a volume per file, as stored and in canonical axes."""

    stored: tuple[Volume, ...]
    volumes: tuple[Volume, ...]

    @property
    def oriented(self) -> bool:
        """Whether it gives an orientation."""
        return is_oriented(self.stored[0])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing in mm along z, y, x of the canonical axes; nan where unknown."""
        return spacing_of(self.volumes[0])

    @property
    def array(self) -> Array:
        """All channels, (channels, z, y, x)."""
        return np.concatenate([channels_of(volume) for volume in self.volumes])


def read_image(
    case: str,
    paths: Sequence[Path],
    *,
    root: Path | None = None,
    plane: Plane | None = "axial",
) -> tuple[Image | None, list[Fault]]:
    """Return the image of a case, or None if a file is unreadable, and its faults.

    Args:
        case: the case's id.
        paths: one file, or one per channel.
        root: the folder that must contain detached data files; the header's folder if None.
        plane: the plane of the slices; None keeps the stored axes.
    """
    faults: list[Fault] = []
    read = [_read(read_volume, path, case, root, faults) for path in paths]
    stored = tuple(volume for volume in read if volume is not None)
    if len(stored) < len(read):
        return None, faults
    placed = (stored[0], *(_aligned(stored[0], volume) for volume in stored[1:]))
    image = Image(stored, tuple(canonical(volume, plane) for volume in placed))
    for path, volume, raw in zip(paths, image.volumes, stored, strict=True):
        faults += check_image(case, path, volume, channels_of(volume))
        faults += check_forms(case, path, forms_unlike(raw.header))
    first, *others = zip(paths, image.volumes, placed, strict=True)
    for path, volume, raw in others:
        turned = plane is not None and turned_otherwise(first[2], raw, plane)
        faults += check_pair(case, first[:2], (path, volume), turned=turned)
    faults += mixed_orientation(
        paths[0].parent,
        {path: is_oriented(volume) for path, volume in zip(paths, stored, strict=True)},
    )
    if plane is not None:
        faults += coarse_in_plane(case, paths[0], image.volumes[0], plane)
    return image, faults


def read_case(
    files: CaseFiles,
    *,
    root: Path | None = None,
    labels: Collection[int] = (),
    segments: Sequence[str] = (),
    plane: Plane = "axial",
    channels: int | None = None,
) -> tuple[RawCase | None, list[Fault]]:
    """Return a case, or None if there is an error, and its faults.

    An image with an orientation is converted to the canonical one (`orientation.canonical`), and so
    is its label. A label without an orientation is assumed to have that of its image.

    Args:
        files: the files of the case.
        root: the folder that must contain detached data files; the header's folder if None.
        labels: the allowed label values other than 0; any if empty.
        segments: names of segments in the label's header that become label values 1, 2, ...; if
            empty, the stored label values are used.
        plane: the plane of the slices.
        channels: the required number of channels; any if None.
    """
    if files.index is not None:
        return _read_idx_case(files, files.index)
    image, faults = read_image(files.id, files.images, root=root, plane=plane)

    def read_label(path: Path, *, root: Path | None) -> Volume:
        if segments and image:
            _check_named(path)
            return label_of_segments(path, segments, image.stored[0], optional=True)
        return read_volume(path, root=root, as_label=True)

    label = _read(read_label, files.label, files.id, root, faults)
    if label is None or image is None:
        return None, faults
    placed = _on_grid_of(image.stored[0], label)
    turned = turned_otherwise(image.stored[0], placed, plane)
    label = canonical(placed, plane)
    mask = channels_of(label)
    values, more = check_label(files.id, files.label, mask, labels)
    faults += more
    grid = (files.images[0], image.volumes[0])
    faults += check_pair(files.id, grid, (files.label, label), turned=turned)
    same = len({channels_of(volume).shape[1:] for volume in image.volumes}) == 1
    array = image.array if same else None  # shapes that differ are reported by `check_pair`
    if array is not None and channels is not None:
        array = _without_repeats(array, channels, len(files.images))
        faults += check_channels(files, len(array), channels)
    if array is None or any(fault.severity == "error" for fault in faults):
        return None, faults
    faults += smear_fault(files.id, files.label, mask[0])
    return RawCase(array, mask[0], image.spacing, values, image.oriented), faults


def _on_grid_of(image: Volume, label: Volume) -> Volume:
    """Return a label with the geometry of its image if one of them gives no orientation.

    If the stored shapes differ, the result is a label without geometry, which a check refuses.
    """
    if is_oriented(image) == is_oriented(label):
        return _aligned(image, label) if is_oriented(image) else label
    if channels_of(image).shape[1:] != channels_of(label).shape[1:]:
        return replace(label, origin=None, directions=None)
    first = int(image.kinds[:1] == ("vector",))
    directions = None if image.directions is None else image.directions[first:]
    if not is_oriented(image) or label.array.ndim != image.array.ndim - first:
        directions = None
    origin = None if directions is None else image.origin
    return replace(
        label, origin=origin, directions=directions, header=None, anatomical=image.anatomical
    )


def _aligned(image: Volume, label: Volume) -> Volume:
    """Return a label on its image's grid if the stored grids agree up to rounding.

    Both are then reoriented alike, also if an axis is equally near to two world axes.
    """
    first = int(image.kinds[:1] == ("vector",))
    alike = label.array.ndim == image.array.ndim - first and not check_pair(
        "", (Path(), image), (Path(), label)
    )
    if not alike or image.directions is None:
        return label
    return replace(label, directions=image.directions[first:], origin=image.origin)


def _read(
    read: Reader, path: Path, case: str, root: Path | None, faults: list[Fault]
) -> Volume | None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            volume = read(path, root=root)
        except DataError as error:
            faults.append(unreadable(case, path, error))
            return None
    for warning in caught:
        if issubclass(warning.category, OutsideWarning):
            expected, cure = "have its segments within the image", "they are ignored; check both"
            found = f"voxels outside: {warning.message}"
            faults.append(Fault("outside", case, str(path), expected, found, cure, "warning"))
        elif not issubclass(warning.category, SpacingWarning):
            warnings.warn(warning.message, warning.category, stacklevel=2)
        elif case not in {fault.case for fault in faults if fault.rule == "no spacing"}:
            faults.append(no_spacing(case, path))  # one per case
    return volume


def _check_named(path: Path) -> None:
    if segments_named(path) is None:
        raise DataError(
            f"{path}: must name its segments, as task.segments asks, got a label without names; "
            "export it from 3D Slicer as .seg.nrrd, or leave task.segments out"
        )


def _without_repeats(array: Array, channels: int, files: int) -> Array:
    """Return a picture without redundant channels, if it has too many.

    These are an opaque alpha channel, and grey values saved as three equal colours.
    """
    if files > 1 or array.dtype != np.uint8 or len(array) not in (2, 3, 4):
        return array
    if len(array) > channels and len(array) != 3 and (array[-1] == 255).all():
        array = array[:-1]
    if channels == 1 and len(array) == 3 and (array == array[:1]).all():
        array = array[:1]
    return array


def _read_idx_case(files: CaseFiles, index: int) -> tuple[RawCase, list[Fault]]:
    image, label = (_idx(path, path.stat().st_mtime_ns) for path in (*files.images, files.label))
    value = int(label[index])
    nan = float("nan")
    pixels = image[index][None, None]
    return RawCase(pixels, label[index : index + 1], (nan, nan, nan), (value,)), []


@functools.lru_cache(maxsize=4)
def _idx(path: Path, changed_ns: int) -> Array:
    array: Array = read_idx(path)  # read once for all images
    return array
