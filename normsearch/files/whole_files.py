"""Files read safely and written whole or not at all; the folders that ship with the package."""

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

TEXT = 2**26  # bytes of YAML, JSON or a table at most, far above any
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")


def write_atomically(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    private: bool = False,
    before_rename: Callable[[], object] = lambda: None,
) -> None:
    """Let `write` fill a temporary sibling of `path`, flush it to disk, then rename it.

    A crash at any moment leaves the old file or the new one, never a part. A `private` file can
    be read by its owner alone. `before_rename` may raise, and nothing has changed then.

    Raises:
        DiskFullError: there is no room for it (or none within the user's quota).
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
        raise


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path`, whole or not at all."""
    write_atomically(path, lambda file: file.write(content), private=private)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that a disk or a quota is full."""
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
    """Return the error of a file that there is no room for."""
    return DiskFullError(
        f"{path}: the disk must have room for this file, and is full; free some, then go "
        "on with `normsearch resume`."
    )


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a `write_atomically` of a killed process left in a folder."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    write_bytes(path, text.encode(), private=private)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading, at once: what is no plain file on a disk is refused.

    A pipe would hang, a device (``/dev/zero``, also through a link) or a file of the kernel's
    (``/proc/kcore``) never end.

    Raises:
        OSError: it cannot be opened, or is none; the text says what it is.
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
    """Return a path with ``~`` and ``~name`` replaced; as it stands where there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user, or no home
        return Path(text)


def is_there(path: str | Path) -> bool:
    """Return whether something can be seen at a path; False for one that cannot be, or not asked.

    A name that is too long, a loop of links and a folder that may not be searched raise nothing.
    """
    return _mode(path) is not None


def is_file(path: str | Path) -> bool:
    """Return whether a plain file can be seen at a path, as `is_there`."""
    return stat.S_ISREG(_mode(path) or 0)


def is_folder(path: str | Path) -> bool:
    """Return whether a folder can be seen at a path, as `is_there`."""
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
    """Return ``studies`` or ``search_spaces``: in the wheel inside the package, else beside it."""
    inside = _PACKAGE / "share" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def find_yaml(text: str, folder: str, *, near: Path | None = None) -> Path:
    """Return the YAML file a user means by a path or by the name of a shipped one.

    A path is tried as given, then beside `near`, then in the shipped `folder` by its stem.

    Raises:
        ConfigError: no such file; the message names the shipped ones.
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
        f"{text}: must be a YAML file or one of {', '.join(names)}, and no such file exists."
        + did_you_mean(given.stem, names)
    )


def cache_folder() -> Path:
    """Return where generated data is kept: NORMSEARCH_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normsearch"
    return Path(os.environ.get("NORMSEARCH_CACHE") or default)
