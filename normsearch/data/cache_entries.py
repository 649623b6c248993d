"""The entries of the cache of prepared cases: which are in use, how large they are, their removal.

An entry is a folder. Its ``case.json`` names its data set; the time of that file is that of its
last use. ``in-use`` holds a list of entries for each process that uses some, with a lock that ends
with the process, however it ends.
"""

from __future__ import annotations

import atexit
import math
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from normsearch.errors import ConfigError, DataError
from normsearch.files import is_there
from normsearch.files.json_file import read_json

ENTRY = "case.json"
LIMIT = "NORMSEARCH_CACHE_SIZE"
_SHARE = 0.5  # of the space that the cache and free space take on the disk
_NAME = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS: dict[str, int] = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_USERS = "in-use"


@dataclass(frozen=True)
class CacheEntry:
    """A prepared case in the cache.

    Attributes:
        folder: its folder.
        bytes: the size of its files.
        used: when it was last used, in seconds since the epoch.
    """

    folder: Path
    bytes: int
    used: float

    @property
    def data_set(self) -> str:
        """The folder of its data set; '' if it is incomplete or of an older version."""
        with suppress(DataError, LookupError, TypeError):
            return str(read_json(self.folder / ENTRY, DataError, finite=False)["data_set"])
        return ""


def cache_entries(cache: Path) -> list[CacheEntry]:
    """Return the entries of the cache in a folder, the one that was last used longest ago first."""
    folders = [path for path in _listed(cache) if _NAME.fullmatch(path.name)]
    entries = (_entry(folder) for folder in folders)
    return sorted((entry for entry in entries if entry), key=lambda entry: entry.used)


def remove_entries(cache: Path, entries: Collection[CacheEntry]) -> list[CacheEntry]:
    """Delete entries that no process uses, and return them."""
    with _changing(cache):
        used = _in_use(cache)
        removed = [entry for entry in entries if entry.folder.name not in used]
        for entry in removed:
            (entry.folder / ENTRY).unlink(missing_ok=True)  # first: without it there is no entry
            shutil.rmtree(entry.folder, ignore_errors=True)
    return removed


def use_entry(folder: Path) -> None:
    """Protect an entry from removal until this process ends; it need not be built yet."""
    cache, own = folder.parent, (os.getpid(), folder.parent)
    with suppress(OSError), _changing(cache):  # where nothing can be written, nothing is removed
        if own not in _USED or not is_there(_USED[own].list):
            _USED[own] = _Users(cache)
        _USED[own].add(folder.name)


def keep_to_limit(cache: Path, *, warn: bool = True) -> None:
    """Delete entries that no process uses, those of the longest unused first, down to the limit.

    Nothing is deleted from a folder that this process cannot write to.

    Args:
        cache: the folder of the cache.
        warn: whether to warn if those in use are above the limit.

    Raises:
        ConfigError: NORMSEARCH_CACHE_SIZE is no size.
    """
    entries = cache_entries(cache)
    total = sum(entry.bytes for entry in entries)
    if not entries or total <= (limit := size_limit(cache, total)):
        return
    try:
        with _changing(cache):
            used = _in_use(cache)
    except OSError:  # a cache that others have filled may be read-only: nothing can be deleted
        return
    over, chosen = total - limit, list[CacheEntry]()
    for entry in entries:
        if over > 0 and entry.folder.name not in used:
            chosen.append(entry)
            over -= entry.bytes
    remove_entries(cache, chosen)
    if over > 0 and warn:
        warnings.warn(
            f"{cache}: prepared cases in use take {size_text(over)} more than the limit of "
            f"{size_text(limit)}; raise {LIMIT}, or name a folder on a larger disk in "
            "NORMSEARCH_CACHE",
            stacklevel=2,
        )


def size_limit(cache: Path, taken: int) -> float:
    """Return the most bytes of prepared cases in a folder that now holds `taken`.

    By default it is half of the space that the disk has beside other files.

    Raises:
        ConfigError: see `asked_limit`.
    """
    asked = asked_limit()
    return _SHARE * (shutil.disk_usage(cache).free + taken) if asked is None else asked


def asked_limit() -> float | None:
    """Return NORMSEARCH_CACHE_SIZE in bytes, infinity for ``unlimited``, None if it is not set.

    Raises:
        ConfigError: it is no size.
    """
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return None
    if text.lower() == "unlimited":
        return math.inf
    found = _SIZE.fullmatch(text)
    if not found or not float(found[1]):
        raise ConfigError(
            f"{LIMIT}: must be a size such as 200 GB or 500 MiB, or unlimited, got '{text}'"
        )
    unit = (1024 if found[3] else 1000) ** _POWERS[found[2].upper()]
    return float(found[1]) * float(unit)


def size_text(size: float) -> str:
    """Return a number of bytes in the largest unit that gives 1 or more.

    >>> size_text(0), size_text(1500), size_text(3.21e9)
    ('0 B', '1.5 kB', '3.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


class _Users:
    """The list of the entries that this process uses, and its lock."""

    def __init__(self, cache: Path) -> None:
        self.process = os.getpid()
        self.list = cache / _USERS / uuid.uuid4().hex
        self.list.parent.mkdir(exist_ok=True)
        self._lock = FileLock(self.list.with_suffix(".lock"))
        self._lock.acquire(blocking=False)
        self._names = set[str]()
        atexit.register(self.end)

    def add(self, name: str) -> None:
        if name not in self._names:
            self._names.add(name)
            with self.list.open("a") as file:
                file.write(f"{name}\n")

    def end(self) -> None:
        """Remove the list, unless this process is a fork of the one that made it."""
        if self.process == os.getpid():
            with suppress(OSError):
                self.list.unlink(missing_ok=True)
                self._lock.release()
                self.list.with_suffix(".lock").unlink(missing_ok=True)


_USED: dict[tuple[int, Path], _Users] = {}  # a fork keeps its parent's, so that no lock ends


def _in_use(cache: Path) -> set[str]:
    """Return the names of entries in use; delete the lists of processes that have ended."""
    found = set[str]()
    for lock in _listed(cache / _USERS):
        if lock.suffix != ".lock":
            continue
        names = lock.with_suffix("")
        own = _USED.get((os.getpid(), cache))
        if own is None or own.list != names:
            with suppress(Timeout), FileLock(lock).acquire(blocking=False):
                names.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            found |= set(names.read_text().split())
    return found


@contextmanager
def _changing(cache: Path) -> Iterator[None]:
    """Hold the lock of the lists of entries in use."""
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        yield


def _entry(folder: Path) -> CacheEntry | None:
    """Return an entry, None if another process removes it now."""
    try:
        files = [path.stat() for path in folder.iterdir()]
        used = max([file.st_mtime for file in files], default=folder.stat().st_mtime)
    except FileNotFoundError:
        return None
    return CacheEntry(folder, sum(file.st_size for file in files), used)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
