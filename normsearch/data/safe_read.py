"""Reads bytes from files, never more than declared; every fault is one typed error."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from normsearch.errors import DataError, one_line
from normsearch.files import open_regular


class Readable(Protocol):
    """A file or a decompressing reader."""

    def read(self, size: int, /) -> bytes: ...


_CHUNK = 2**24  # bytes per read: readers allocate as much as is requested


@contextmanager
def opened(path: Path, named_by: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file for reading; errors name `named_by`, or the file itself.

    Raises:
        DataError: the file does not exist, cannot be read, or is a folder or device.
    """
    where = named_by or path
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(
            f"{where}: the file {path} must exist, but there is none; "
            "check the name, or copy the missing file there"
        ) from error
    except OSError as error:
        raise DataError(
            f"{where}: must be a readable file, got '{one_line(error)}'; check its permissions"
        ) from error


def read_packed(path: Path, file: IO[bytes], packing: str, count: int) -> bytearray:
    """Return up to `count` decompressed bytes, and one more if there are more.

    Args:
        path: the file, for messages.
        file: read from its current position.
        packing: "raw", "gzip" or "bzip2".
        count: the declared number of bytes.

    Raises:
        DataError: the compressed data is truncated or damaged.
    """
    try:
        if packing == "gzip":
            return read_at_most(gzip.GzipFile(fileobj=file), count + 1)
        if packing == "bzip2":
            return read_at_most(bz2.BZ2File(file), count + 1)
        return read_at_most(file, count + 1)
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{path}: the {packing} data must be whole, got '{one_line(error)}'; "
            "the file is truncated or damaged, so copy or export it again"
        ) from error


def read_at_most(file: Readable, count: int) -> bytearray:
    """Return `count` bytes, or fewer at the end; memory grows only with the data."""
    data = bytearray()
    while chunk := file.read(min(_CHUNK, count - len(data))):
        data += chunk
    return data
