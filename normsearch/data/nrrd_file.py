"""NRRD files: pynrrd parses headers and writes files, this module reads the data.

pynrrd would open any data file that a header names, and decompress a stream completely before
checking its size. All errors of pynrrd are converted to DataError.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import nrrd
import numpy as np
import numpy.typing as npt

from normsearch.data import nrrd_geometry
from normsearch.data.geometry import Volume
from normsearch.data.safe_read import opened, read_packed
from normsearch.errors import DataError, one_line
from normsearch.files import write_atomically

Header = dict[str, Any]
Array = npt.NDArray[Any]

_HEADER_BYTES = 2**24  # the largest size of a header
_AXES = 16  # NRRD's own limit
_TEXT_BYTES = 32  # the largest size of a number in a text encoding, with its separator
_ENCODINGS = {
    **dict.fromkeys(("raw",), "raw"),
    **dict.fromkeys(("ascii", "text", "txt"), "text"),
    **dict.fromkeys(("gzip", "gz"), "gzip"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
}
_SEVERAL_FILES = re.compile(r"data ?file\s*:\s*(LIST\b|.*%\d*d)")


def read(path: Path, *, root: Path, max_bytes: int, as_label: bool = False) -> Volume:
    """Read one .nrrd or .nhdr file; see `normsearch.data.read_volume`."""
    header, array = read_array(path, root=root, max_bytes=max_bytes)
    volume = nrrd_geometry.volume_of(path, header, array)
    if as_label and volume.kinds[:1] == ("vector",):
        raise DataError(
            f"{path}: a label must have one value a voxel, got {len(volume.array)} layers or "
            "channels; name the wanted segments of a segmentation in task.segments, or export them "
            "as a labelmap"
        )
    return volume


def read_header(path: Path) -> Header:
    """Return a file's header as parsed by pynrrd, without reading the voxels.

    Raises:
        DataError: the file is missing or its header is damaged.
    """
    with opened(path) as file:
        return _read_header(path, file)


def read_array(path: Path, *, root: Path, max_bytes: int) -> tuple[Header, Array]:
    """Return the header as parsed by pynrrd (fastest axis first) and the array (slowest first).

    Raises:
        DataError: the file is missing, damaged or too large, or contradicts its header.
    """
    with opened(path) as file:
        header = _read_header(path, file)
        dtype, sizes = _declared(path, header, max_bytes)
        name = header.get("data file", header.get("datafile"))
        if name is None:
            payload = _payload(path, file, header, dtype, sizes)
        else:
            with opened(_detached(path, name, root), named_by=path) as data:
                payload = _payload(path, data, header, dtype, sizes)
    return header, _decode(path, header, payload, dtype, sizes)


def write(path: Path, volume: Volume) -> None:
    """Write a gzip-compressed NRRD file atomically.

    Raises:
        DataError: NRRD has no such type (float16, complex, text).
    """
    array, header = nrrd_geometry.header_of(volume)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise DataError(
            f"{path}: NRRD holds integers, float32 and float64, got {array.dtype}; "
            "convert the array, for example with .astype(np.float32)"
        )
    header["encoding"] = "gzip"
    write_atomically(
        path,
        lambda file: nrrd.write(file, array, header, compression_level=4, index_order="C"),
    )


def _read_header(path: Path, file: IO[bytes]) -> Header:
    try:
        return dict(nrrd.read_header(_lines(path, file)))
    except StopIteration as error:
        raise DataError(
            f"{path}: must be an NRRD file, but it is empty; copy or export it again"
        ) from error
    except (nrrd.NRRDError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: must begin with a valid NRRD header, got '{one_line(error)}'; "
            "export the image again as .nrrd, for example from 3D Slicer"
        ) from error


def _lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """Yield the header's lines as text, as pynrrd drops non-ASCII characters of bytes."""
    left = _HEADER_BYTES
    while line := file.readline(left):
        left -= len(line)
        text = line.decode("utf-8", errors="replace")
        if _SEVERAL_FILES.match(text):
            raise DataError(
                f"{path}: the header must name one data file, got '{one_line(ValueError(text))}'; "
                "join its files, or export the image again as one"
            )
        yield text


def _declared(path: Path, header: Header, max_bytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and sizes (slowest axis first) that the header declares; check them."""
    sizes = tuple(int(n) for n in reversed(header.get("sizes", ())))
    encoding = str(header.get("encoding", "")).lower()
    if not 1 <= len(sizes) <= _AXES or min(sizes) < 1 or header.get("dimension") != len(sizes):
        raise DataError(
            f"{path}: the header's sizes must be one positive number per dimension, got dimension "
            f"{header.get('dimension')} and sizes {sizes[::-1]}; export the image again"
        )
    if encoding not in _ENCODINGS:
        raise DataError(
            f"{path}: the header's encoding must be raw, ascii, gzip or bzip2, got '{encoding}'; "
            "export the image again with one of these"
        )
    header["encoding"] = _ENCODINGS[encoding]
    dtype = _dtype(path, header)
    if math.prod(sizes) * dtype.itemsize > max_bytes:
        raise DataError(
            f"{path}: the voxels may take {max_bytes} bytes at most, but the header declares sizes "
            f"{sizes[::-1]} of {dtype}; crop the image or correct its header"
        )
    return dtype, sizes


def _dtype(path: Path, header: Header) -> np.dtype[Any]:
    # Let pynrrd decode one voxel to get the type by its table of names and endian rules.
    text = header["encoding"] == "text"
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
    try:
        data_path = (path.parent / name).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise DataError(
            f"{path}: the header's data file must be a file's name, got '{one_line(error)}'; "
            "correct the header"
        ) from error
    if not data_path.is_relative_to(root.resolve()):
        raise DataError(
            f"{path}: the data file must lie under {root}, got '{name}'; "
            "move it there and correct the header's data file"
        )
    return data_path


def _payload(
    path: Path, file: IO[bytes], header: Header, dtype: np.dtype[Any], sizes: tuple[int, ...]
) -> bytearray:
    """Return the decompressed voxels, at most one byte more than declared."""
    encoding = header["encoding"]
    text = encoding == "text"
    expected = math.prod(sizes) * (_TEXT_BYTES if text else dtype.itemsize)
    _skip(path, file, header, expected)
    return read_packed(path, file, "raw" if text else encoding, expected)


def _skip(path: Path, file: IO[bytes], header: Header, expected: int) -> None:
    lines = int(header.get("line skip") or header.get("lineskip") or 0)
    skip = int(header.get("byte skip") or header.get("byteskip") or 0)
    if lines < 0 or skip < -1 or (header["encoding"] != "raw" and (lines or skip)):
        raise DataError(
            f"{path}: line skip and byte skip must be 0, or for raw data 0 or more (byte skip -1: "
            f"from the end), got {lines} and {skip}; correct the header"
        )
    while lines and file.readline(_HEADER_BYTES):
        lines -= 1
    if skip > 0:
        file.seek(min(file.tell() + skip, file.seek(0, io.SEEK_END)))
    elif skip < 0:
        file.seek(max(file.seek(0, io.SEEK_END) - expected, 0))


def _decode(
    path: Path, header: Header, payload: bytearray, dtype: np.dtype[Any], sizes: tuple[int, ...]
) -> Array:
    voxels = math.prod(sizes)
    text = bytes(payload).split() if header["encoding"] == "text" else None
    count = len(payload) / dtype.itemsize if text is None else len(text)
    if count != voxels:
        found = f"{count:g}" if count < voxels else "more"
        raise DataError(
            f"{path}: the data must hold {voxels} values of {dtype}, as the sizes {sizes[::-1]} "
            f"say, got {found}; the data is truncated, has trailing bytes or a wrong header, so "
            "copy or export it again"
        )
    try:
        array = np.array(text, dtype) if text else np.frombuffer(payload, dtype)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: the text must hold numbers of {dtype}, got '{one_line(error)}'; "
            "export the image again"
        ) from error
    return array.reshape(sizes).astype(dtype.newbyteorder("="), copy=False)
