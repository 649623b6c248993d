"""Reads and writes image files in the format of the file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from normsearch.data import nifti_file, nrrd_file, picture_file, segments
from normsearch.data.geometry import SpacingWarning, Volume
from normsearch.errors import DataError, did_you_mean
from normsearch.files import is_folder

__all__ = ["FORMATS", "SpacingWarning", "Volume", "read_volume", "suffix_of", "write_volume"]

_MAX_BYTES = 4 * 2**30


class _Read(Protocol):
    def __call__(self, path: Path, *, root: Path, max_bytes: int, as_label: bool) -> Volume: ...


class Format(NamedTuple):
    """The reader and the writer of a format."""

    read: _Read
    write: Callable[[Path, Volume], None]


#: Suffix of a file's name, in lower case -> its format.
FORMATS: dict[str, Format] = {
    ".nrrd": Format(nrrd_file.read, nrrd_file.write),
    ".nhdr": Format(nrrd_file.read, nrrd_file.write),
    ".seg.nrrd": Format(nrrd_file.read, segments.refuse_writing),
    ".nii": Format(nifti_file.read, nifti_file.write),
    ".nii.gz": Format(nifti_file.read, nifti_file.write),
    ".png": Format(picture_file.read_png, picture_file.write_png),
    ".tif": Format(picture_file.read_tiff, picture_file.write_tiff),
    ".tiff": Format(picture_file.read_tiff, picture_file.write_tiff),
}


def read_volume(
    path: Path, *, root: Path | None = None, max_bytes: int = _MAX_BYTES, as_label: bool = False
) -> Volume:
    """Read an image file in the format of its suffix (`FORMATS`).

    Args:
        path: the file; a link is followed.
        root: the folder that must contain a detached data file, after following links; the
            header's folder if None.
        max_bytes: the largest size of the voxels in memory, in bytes.
        as_label: the values are label values; scale factors that would change them are refused.

    If the file gives no spacing, the function issues a `SpacingWarning` and the spacing is nan.

    Raises:
        DataError: the file is missing, damaged or too large, contradicts its header, or has an
            unknown format.
    """
    path = Path(path)
    read = _format_of(path).read
    return read(path, root=root or path.parent, max_bytes=max_bytes, as_label=as_label)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image atomically in the format of the suffix.

    bool is written as uint8, and missing folders are created. PNG and TIFF are written without
    geometry. An unknown spacing is not written. A volume read from NIfTI or NRRD and written in the
    same format keeps the geometry fields of its header.

    Raises:
        DataError: the format does not support the type, shape or geometry.
    """
    path = Path(path)
    kind = volume.array.dtype
    stored = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")
    _format_of(path).write(path, replace(volume, array=volume.array.astype(stored, copy=False)))


def suffix_of(path: Path) -> str:
    """Return the suffix of a file's format in lower case; '' if it is not an image.

    >>> suffix_of(Path("a.b.NRRD"))
    '.nrrd'
    """
    name = path.name.lower()
    return max((suffix for suffix in FORMATS if name.endswith(suffix)), key=len, default="")


def _format_of(path: Path) -> Format:
    suffix = suffix_of(path)
    if not suffix and is_folder(path):
        raise DataError(f"{path}: must be an image's file, got a folder; name the file in it")
    if not suffix:
        raise DataError(
            f"{path}: an image's name must end in one of {', '.join(FORMATS)}; rename the file "
            f"or convert it.{did_you_mean(path.suffix, FORMATS)}"
        )
    return FORMATS[suffix]
