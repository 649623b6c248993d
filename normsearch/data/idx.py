"""IDX files, the format of MNIST and Fashion-MNIST: big-endian arrays, plain or in gzip."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from normsearch.data.safe_read import opened, read_packed
from normsearch.errors import DataError

# The format's third byte -> type; http://yann.lecun.com/exdb/mnist
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_AXES = 8
_CURE = "the file is damaged or of another format, so download it again"


def read_idx(path: Path, *, max_bytes: int = 2**32) -> npt.NDArray[Any]:
    """Return the array of one IDX file, slowest axis first, in native byte order.

    Args:
        path: the file; it is decompressed if its name ends in .gz.
        max_bytes: the largest size of the array, in bytes.

    Raises:
        DataError: the file is missing, damaged or too large, or contradicts its header.
    """
    path = Path(path)
    packing = "gzip" if path.suffix.lower() == ".gz" else "raw"
    with opened(path) as file:
        dtype, shape = _header(path, file, packing)
        start, size = 4 + 4 * len(shape), math.prod(shape) * dtype.itemsize
        if size > max_bytes:
            raise DataError(
                f"{path}: the array may take {max_bytes} bytes at most, but the header declares "
                f"{shape} of {dtype}; {_CURE}"
            )
        payload = read_packed(path, file, packing, start + size)
    if len(payload) != start + size:
        found = f"{len(payload)}" if len(payload) < start + size else "more"
        raise DataError(
            f"{path}: must hold {start + size} bytes for {shape} of {dtype}, got {found}; {_CURE}"
        )
    array = np.frombuffer(payload, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(path: Path, file: IO[bytes], packing: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    head = bytes(read_packed(path, file, packing, 4 + 4 * 255))
    file.seek(0)
    code, axes = (head[2], head[3]) if len(head) >= 4 else (0, 0)
    if head[:2] != b"\0\0" or code not in _TYPES:
        raise DataError(
            f"{path}: must begin with two zeros, a type and a number of axes, as IDX files do, "
            f"got {head[:4]!r}; {_CURE}"
        )
    whole = head[4 : 4 + 4 * axes][: len(head[4:]) // 4 * 4]
    shape = tuple(int(size) for size in np.frombuffer(whole, ">u4"))
    if not 1 <= axes <= _AXES or len(shape) != axes or min(shape) < 1:
        raise DataError(
            f"{path}: must give 1 to {_AXES} sizes above 0, got {axes} axes of {shape}; {_CURE}"
        )
    return np.dtype(_TYPES[code]), shape
