"""Reads files safely, writes them atomically, and finds the folders that ship with the package."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import uuid
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from normsearch.errors import ConfigError, DiskFullError, did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

TEXT = 2**26  # the most bytes of a text file, far above any real one
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")


def write_atomically(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    private: bool = False,
    before_rename: Callable[[], object] = lambda: None,
) -> None:
    """Let `write` fill a temporary sibling of `path`, flush it to disk, then rename it.

    A crash at any moment leaves either the old file or the complete new one. Only the owner can
    read a `private` file. If `before_rename` raises, the old file remains.

    Raises:
        DiskFullError: the disk or the user's quota is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}")
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise disk_full(path) from error
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            error.filename = str(path)  # the name that a user knows
        raise


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path` atomically."""
    write_atomically(path, lambda file: file.write(content), private=private)


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, reports a full disk or quota."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: Path | str) -> DiskFullError:
    """Return the error for a file that does not fit on the disk."""
    return DiskFullError(
        f"{path}: the disk must have room for this file, and is full; free some, then "
        "continue with `normsearch resume`."
    )


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that killed processes left in a folder; see `write_atomically`."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write `text` to `path` atomically, in UTF-8."""
    write_bytes(path, text.encode(), private=private)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading, without blocking.

    Other kinds of file are refused: a pipe would block, and a device (``/dev/zero``, also through a
    link) or a kernel file (``/proc/kcore``) has no end.

    Raises:
        OSError: the file cannot be opened, or is not a regular file; the text names its kind.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, f"it has no valid name ({error})", str(path)) from error
    status = os.fstat(number)
    kind = next((word for fits, word in _KINDS if fits(status.st_mode)), None)
    if stat.S_ISREG(status.st_mode) and status.st_dev in _kernels_devices():
        kind = "a file of the kernel's"
    if kind:
        os.close(number)
        raise OSError(errno.EINVAL, f"it is {kind} and no plain file", str(path))
    return os.fdopen(number, "rb")


def user_path(text: str | Path) -> Path:
    """Return a path with ``~`` and ``~name`` expanded; unchanged if there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user, or no home
        return Path(text)


def is_there(path: str | Path) -> bool:
    """Return whether a path exists and is accessible.

    Never raises: names that are too long, loops of links and unreadable folders give False.
    """
    return _mode(path) is not None


def is_file(path: str | Path) -> bool:
    """Return whether a path is a regular file; never raises, as `is_there`."""
    return stat.S_ISREG(_mode(path) or 0)


def is_folder(path: str | Path) -> bool:
    """Return whether a path is a folder; never raises, as `is_there`."""
    return stat.S_ISDIR(_mode(path) or 0)


def _mode(path: str | Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


@functools.cache
def _kernels_devices() -> frozenset[int]:
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))


def shipped(folder: str) -> Path:
    """Return the folder ``studies`` or ``search_spaces`` of the wheel or the checkout."""
    inside = _PACKAGE / "share" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def find_yaml(text: str, folder: str, *, near: Path | None = None) -> Path:
    """Return the YAML file that a path or the name of a shipped file refers to.

    Looks for the path as given, then in the folder of `near`, then for a shipped file of that stem.

    Raises:
        ConfigError: there is no such file; the message lists the shipped ones.
    """
    given = user_path(text)
    beside = [near.parent / given] if near else []
    for path in [given, *beside]:
        if is_file(path):
            return path
    names = {path.stem: path for path in sorted(shipped(folder).glob("*.yaml"))}
    if given.stem in names and str(given.parent) in (".", folder):
        return names[given.stem]
    raise ConfigError(
        f"{text or repr(text)}: must be a YAML file or one of {', '.join(names)}, and "
        f"{'it is a folder' if text and is_folder(given) else 'no such file exists'}."
        + did_you_mean(given.stem, names)
    )


def cache_folder() -> Path:
    """Return the folder for generated data: NORMSEARCH_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normsearch"
    return Path(os.environ.get("NORMSEARCH_CACHE") or default)
