"""One case read from its files as it is, with everything that is wrong with it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import CaseFiles
from normsearch.data.checks import (
    channels_of,
    check_channels,
    check_image,
    check_label,
    check_pair,
    no_spacing,
    spacing_of,
)
from normsearch.data.faults import Fault, unreadable
from normsearch.data.idx import read_idx
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
    """One case as its files hold it.

    Attributes:
        image: (channels, z, y, x) in the files' own type and units.
        label: (z, y, x), the files' own values; or (1,), the class of an image.
        spacing: mm along z, y, x; nan where there is none.
        values: the label values that occur, ascending.
    """

    image: Array
    label: Array
    spacing: tuple[float, float, float]
    values: tuple[int, ...]


def read_case(
    files: CaseFiles,
    *,
    root: Path | None = None,
    labels: Collection[int] = (),
    segments: Sequence[str] = (),
    channels: int | None = None,
) -> tuple[RawCase | None, list[Fault]]:
    """Return a case and its faults; None in its place where one of them is an error.

    Args:
        files: of the case.
        root: the folder that detached data files must lie in; each header's own if None.
        labels: the values that a label may have, beside 0; any if empty.
        segments: names of the segments that become label values 1, 2, ... of a label whose header
            names segments; its own label values are taken if empty.
        channels: how many the image must have; any number if None.
    """
    if files.index is not None:
        return _read_idx_case(files, files.index)
    faults: list[Fault] = []
    read = [_read(read_volume, path, files.id, root, faults) for path in files.images]
    images = [volume for volume in read if volume is not None]

    def read_label(path: Path, *, root: Path | None) -> Volume:
        if segments and images:
            _check_named(path)
            return label_of_segments(path, segments, images[0], optional=True)
        return read_volume(path, root=root, as_label=True)

    label = _read(read_label, files.label, files.id, root, faults)
    if label is None or len(images) < len(read):
        return None, faults
    arrays = [channels_of(image) for image in images]
    if channels is not None:
        arrays = [_without_repeats(array, channels, len(arrays)) for array in arrays]
        faults += check_channels(files, sum(map(len, arrays)), channels)
    for path, image, array in zip(files.images, images, arrays, strict=True):
        faults += check_image(files.id, path, image, array)
    mask = channels_of(label)
    values, more = check_label(files.id, files.label, mask, labels)
    faults += more
    first, *others = [*zip(files.images, images, strict=True), (files.label, label)]
    for other in others:
        faults += check_pair(files.id, first, other)
    if any(fault.severity == "error" for fault in faults):
        return None, faults
    faults += smear_fault(files.id, files.label, mask[0])
    return RawCase(np.concatenate(arrays), mask[0], spacing_of(images[0]), values), faults


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
        if not issubclass(warning.category, SpacingWarning):
            warnings.warn(warning.message, warning.category, stacklevel=2)
        elif case not in {fault.case for fault in faults if fault.rule == "no spacing"}:
            faults.append(no_spacing(case, path))  # once a case is enough
    return volume


def _check_named(path: Path) -> None:
    if segments_named(path) is None:
        raise DataError(
            f"{path}: must name its segments, as task.segments asks, got a label without names; "
            "export it from 3D Slicer as .seg.nrrd, or leave task.segments out"
        )


def _without_repeats(array: Array, channels: int, files: int) -> Array:
    """Return a picture's colours without those that say nothing, where it has too many.

    That is an alpha channel that is opaque everywhere, and grey saved as three equal colours.
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
    array: Array = read_idx(path)  # once, and not once an image
    return array
