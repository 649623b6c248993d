"""Files written whole or not at all, and the folders that ship with the package."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from normsearch.errors import ConfigError, DiskFullError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent
_FULL = (errno.ENOSPC, errno.EDQUOT)
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
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
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
    write_atomically(path, lambda file: file.write(text.encode()), private=private)


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
    given = Path(text).expanduser()
    beside = [near.parent / given] if near else []
    for path in [given, *beside]:
        if path.is_file():
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
