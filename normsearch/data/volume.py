"""One image file: NRRD through pynrrd, with the faults that pynrrd raises in many ways told in one.

pynrrd parses headers and writes files; the bytes are read here, because pynrrd opens whatever
data file a header names and inflates a stream whole before it looks at the size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nrrd
import numpy as np
import numpy.typing as npt

from normsearch.errors import DataError
from normsearch.files import write_atomically

Header = dict[str, Any]

_LINE_BYTES = 2**20  # a header line longer than this is no header line
_TEXT_BYTES = 32  # the longest a number may be in a text encoding, with its separator
_RAW, _TEXT, _GZIP, _BZIP2 = ("raw",), ("ascii", "text", "txt"), ("gzip", "gz"), ("bzip2", "bz2")
# Signs that turn a space's x, y, z into left, posterior, superior; any other space stays as it is.
_TO_LPS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}


class SpacingWarning(UserWarning):
    """A file does not say how far apart its voxels are, so 1 mm is assumed."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An image with its geometry; every field is in the array's axis order, slowest axis first.

    Attributes:
        array: (z, y, x), or (slice, y, x) for a stack, native byte order.
        spacing: mm from voxel to voxel per axis; nan for an axis that is not in space (a list).
        origin: the first voxel's centre in mm, (left, posterior, superior), or None.
        directions: (axes, 3) in mm per voxel, LPS; nan rows for axes not in space; or None.
        kinds: NRRD's kind of each axis, such as ("list", "domain", "domain"); () if not given.

    Raises:
        DataError: the fields do not have one entry per axis, or a spacing is not above 0.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    directions: npt.NDArray[np.float64] | None = None
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        axes = self.array.ndim
        rows = axes if self.directions is None else len(self.directions)
        if len(self.spacing) != axes or rows != axes or len(self.kinds) not in (0, axes):
            raise DataError(
                f"a volume of {axes} axes needs one spacing, direction and kind per axis, "
                f"got spacing {self.spacing}, {rows} directions and kinds {self.kinds}"
            )
        if any(step <= 0 or math.isinf(step) for step in self.spacing):
            raise DataError(f"a volume's spacing must be above 0 mm, got {self.spacing}")


def read_volume(path: Path, *, root: Path | None = None, max_bytes: int = 4 * 2**30) -> Volume:
    """Read one .nrrd or .nhdr file.

    Args:
        path: the file.
        root: the folder that a detached data file must lie in; the header's own if None.
        max_bytes: the most bytes that the voxels may take in memory.

    Where the header gives neither space directions nor spacings, a `SpacingWarning` is given and
    1 mm assumed for the axes in space.

    Raises:
        DataError: the file is missing, damaged, too large or not what its header says.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = _read_header(path, file)
            dtype, sizes = _declared(path, header, max_bytes)
            name = header.get("data file", header.get("datafile"))
            if name is None:
                payload = _payload(path, file, header, dtype, sizes)
            else:
                data_path = _detached(path, name, root or path.parent)
                with data_path.open("rb") as data:
                    payload = _payload(path, data, header, dtype, sizes)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the file {error.filename} must exist, but there is none; "
            "check the name, or copy the missing file there"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: must be a readable file, got '{error.strerror}'; check its permissions"
        ) from error
    array = _decode(path, header, payload, dtype, sizes)
    return _with_geometry(path, header, array)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a gzip-compressed NRRD file at once: a reader sees the old file or the whole new one.

    bool is written as uint8. Missing folders are made.

    Raises:
        DataError: NRRD has no such type (float16, complex, text).
    """
    path = Path(path)
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise DataError(
            f"{path}: NRRD holds integers, float32 and float64, got {array.dtype}; "
            "convert the array, for example with .astype(np.float32)"
        )
    header = _header_of(volume)
    write_atomically(
        path,
        lambda file: nrrd.write(file, array, header, compression_level=4, index_order="C"),
    )


def _header_of(volume: Volume) -> Header:
    header: Header = {"encoding": "gzip"}
    if volume.kinds:
        header["kinds"] = list(volume.kinds[::-1])
    if volume.directions is not None:
        header["space"] = "left-posterior-superior"
        header["space directions"] = volume.directions[::-1]
        if volume.origin is not None:
            header["space origin"] = np.asarray(volume.origin)
    elif not all(math.isnan(step) for step in volume.spacing):
        header["spacings"] = np.asarray(volume.spacing[::-1])
    return header


def _read_header(path: Path, file: IO[bytes]) -> Header:
    lines = iter(lambda: file.readline(_LINE_BYTES), b"")
    try:
        return dict(nrrd.read_header(lines))
    except StopIteration as error:
        raise DataError(
            f"{path}: must be an NRRD file, but it is empty; copy or export it again"
        ) from error
    except (nrrd.NRRDError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: must begin with a valid NRRD header, got '{_one_line(error)}'; "
            "export the image again as .nrrd, for example from 3D Slicer"
        ) from error


def _declared(path: Path, header: Header, max_bytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and sizes (slowest axis first) that the header declares, once checked."""
    sizes = tuple(int(n) for n in reversed(header.get("sizes", ())))
    encoding = header["encoding"] = str(header.get("encoding", "")).lower()
    if not sizes or min(sizes) < 1 or header.get("dimension") != len(sizes):
        raise DataError(
            f"{path}: the header's sizes must be one positive number per dimension, got dimension "
            f"{header.get('dimension')} and sizes {sizes[::-1]}; export the image again"
        )
    if encoding not in _RAW + _TEXT + _GZIP + _BZIP2:
        raise DataError(
            f"{path}: the header's encoding must be raw, ascii, gzip or bzip2, got '{encoding}'; "
            "export the image again with one of these"
        )
    dtype = _dtype(path, header)
    if math.prod(sizes) * dtype.itemsize > max_bytes:
        raise DataError(
            f"{path}: the voxels may take {max_bytes} bytes at most, but the header declares sizes "
            f"{sizes[::-1]} of {dtype}; crop the image or correct its header"
        )
    return dtype, sizes


def _dtype(path: Path, header: Header) -> np.dtype[Any]:
    # One voxel decoded by pynrrd tells the type by its own table of names and its endian rules.
    text = header["encoding"] in _TEXT
    probe: Header = {key: header[key] for key in ("type", "endian") if key in header}
    probe |= {"dimension": 1, "sizes": np.array([1]), "encoding": "ascii" if text else "raw"}
    try:
        dtype: np.dtype[Any] = nrrd.read_data(probe, io.BytesIO(b"0" if text else bytes(16))).dtype
    except (nrrd.NRRDError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: the header must give a type that NRRD knows (such as uint8, short, float) "
            f"and its endian, got type '{header.get('type')}' and endian '{header.get('endian')}'; "
            "correct the header or export the image again"
        ) from error
    return dtype


def _detached(path: Path, name: str, root: Path) -> Path:
    data_path = (path.parent / name).resolve()
    if not data_path.is_relative_to(root.resolve()):
        raise DataError(
            f"{path}: the data file must lie under {root}, got '{name}'; "
            "move it there and correct the header's data file"
        )
    return data_path


def _payload(
    path: Path, file: IO[bytes], header: Header, dtype: np.dtype[Any], sizes: tuple[int, ...]
) -> bytes:
    """Return the decompressed voxels; never more than one byte beyond what is declared."""
    encoding = header["encoding"]
    expected = math.prod(sizes) * (_TEXT_BYTES if encoding in _TEXT else dtype.itemsize)
    _skip(path, file, header, expected)
    try:
        if encoding in _GZIP:
            return gzip.GzipFile(fileobj=file).read(expected + 1)
        if encoding in _BZIP2:
            return bz2.BZ2File(file).read(expected + 1)
        return file.read(expected + 1)
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{path}: the {encoding} data must be whole, got '{_one_line(error)}'; "
            "the file is truncated or damaged, so copy or export it again"
        ) from error


def _skip(path: Path, file: IO[bytes], header: Header, expected: int) -> None:
    lines = int(header.get("line skip") or header.get("lineskip") or 0)
    skip = int(header.get("byte skip") or header.get("byteskip") or 0)
    if lines < 0 or skip < -1 or (header["encoding"] not in _RAW and (lines or skip)):
        raise DataError(
            f"{path}: line skip and byte skip must be 0, or for raw data 0 or more (byte skip -1: "
            f"from the end), got {lines} and {skip}; correct the header"
        )
    for _ in range(lines):
        file.readline(_LINE_BYTES)
    start = file.tell() + skip
    file.seek(start if skip >= 0 else max(file.seek(0, io.SEEK_END) - expected, 0))


def _decode(
    path: Path, header: Header, payload: bytes, dtype: np.dtype[Any], sizes: tuple[int, ...]
) -> npt.NDArray[Any]:
    voxels = math.prod(sizes)
    text = payload.split() if header["encoding"] in _TEXT else None
    count = len(payload) / dtype.itemsize if text is None else len(text)
    if count != voxels:
        found = f"{count:g}" if count < voxels else "more"
        raise DataError(
            f"{path}: the data must hold {voxels} values of {dtype}, as the sizes {sizes[::-1]} "
            f"say, got {found}; the data is truncated, has trailing bytes or a wrong header, so "
            "copy or export it again"
        )
    try:
        array = np.array(text, dtype) if text else np.frombuffer(bytearray(payload), dtype)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: the text must hold numbers of {dtype}, got '{_one_line(error)}'; "
            "export the image again"
        ) from error
    return array.reshape(sizes).astype(dtype.newbyteorder("="), copy=False)


def _with_geometry(path: Path, header: Header, array: npt.NDArray[Any]) -> Volume:
    kinds = tuple(header.get("kinds", ()))[::-1]
    signs = np.array(_TO_LPS.get(str(header.get("space", "")).lower(), (1, 1, 1)))
    directions = header.get("space directions")
    origin = header.get("space origin")
    try:
        if directions is not None:
            directions = np.asarray(directions, np.float64)[::-1] * signs
            spacing = tuple(float(step) for step in np.linalg.norm(directions, axis=1))
        elif "spacings" in header:
            spacing = tuple(float(step) for step in header["spacings"][::-1])
        else:
            warnings.warn(f"{path}: gives no spacing; 1 mm is assumed", SpacingWarning, 3)
            spacing = tuple(1.0 if kind in ("domain", "space") else math.nan for kind in kinds)
            spacing = spacing or (1.0,) * array.ndim
        if origin is not None:
            origin = tuple(float(place) for place in np.asarray(origin) * signs)
        return Volume(array, spacing, origin, directions, kinds)
    except (DataError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: the header's geometry must fit its {array.ndim} axes in a space of three, "
            f"got '{_one_line(error)}'; export the image again"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
