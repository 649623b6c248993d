"""Bytes of a file, never more than was declared, with every fault told as one typed error."""

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
    """What can be read from: a file, or what unpacks one."""

    def read(self, size: int, /) -> bytes: ...


_CHUNK = 2**24  # bytes asked for at once: a reader sets aside as many as it is asked for


@contextmanager
def opened(path: Path, named_by: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file for reading; what goes wrong with it while it is open names `named_by` or it.

    Raises:
        DataError: there is no such file, or it is a folder, a device or not to be read.
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
    """Return up to `count` unpacked bytes, and one more where there are more.

    Args:
        path: what an error names.
        file: where to read, from its place on.
        packing: "raw", "gzip" or "bzip2".
        count: how many bytes are declared.

    Raises:
        DataError: the packed data is cut short or damaged.
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
    """Return `count` bytes, or all there are if fewer; memory grows with what is there."""
    data = bytearray()
    while chunk := file.read(min(_CHUNK, count - len(data))):
        data += chunk
    return data
