"""One image file: the reader and the writer of each format, chosen by the file's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from normsearch.data import nifti_file, nrrd_file, picture_file, segments
from normsearch.data.geometry import SpacingWarning, Volume
from normsearch.errors import DataError, did_you_mean

__all__ = ["FORMATS", "SpacingWarning", "Volume", "read_volume", "suffix_of", "write_volume"]

_MAX_BYTES = 4 * 2**30


class _Read(Protocol):
    def __call__(self, path: Path, *, root: Path, max_bytes: int, as_label: bool) -> Volume: ...


class Format(NamedTuple):
    """How one kind of file is read and written."""

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
    """Read one image file; its format is told by the suffix of its name (`FORMATS`).

    Args:
        path: the file; a link that the caller names is followed wherever it leads.
        root: the folder that a detached data file must lie in, links followed; the header's own
            if None.
        max_bytes: the most bytes that the voxels may take in memory.
        as_label: the values are label values: what would change them is refused.

    Where the file does not say how far apart its voxels are, a `SpacingWarning` is given and the
    spacing is nan.

    Raises:
        DataError: the file is missing, damaged, too large, not what its header says, or of a
            format that is not read.
    """
    path = Path(path)
    read = _format_of(path).read
    return read(path, root=root or path.parent, max_bytes=max_bytes, as_label=as_label)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image in the format that the suffix tells: the whole new file or none.

    bool is written as uint8, and missing folders are made. PNG and TIFF hold no geometry: it is
    left out. A spacing that is not known is not written. What was read from NIfTI or NRRD and is
    written in the same format keeps the header's own fields that say where the voxels lie.

    Raises:
        DataError: the format cannot hold such a type, shape or geometry.
    """
    path = Path(path)
    kind = volume.array.dtype
    stored = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")
    _format_of(path).write(path, replace(volume, array=volume.array.astype(stored, copy=False)))


def suffix_of(path: Path) -> str:
    """Return the suffix that tells a file's format, in lower case; '' where it is not an image.

    >>> suffix_of(Path("a.b.NRRD"))
    '.nrrd'
    """
    name = path.name.lower()
    return max((suffix for suffix in FORMATS if name.endswith(suffix)), key=len, default="")


def _format_of(path: Path) -> Format:
    suffix = suffix_of(path)
    if not suffix:
        raise DataError(
            f"{path}: an image's name must end in one of {', '.join(FORMATS)}; rename the file "
            f"or convert it.{did_you_mean(path.suffix, FORMATS)}"
        )
    return FORMATS[suffix]
