"""Optuna's journal file, made to survive an incomplete write, a full disk and a damaged line."""

from __future__ import annotations

import json
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from normsearch.errors import GoneError, StudyError
from normsearch.files import disk_full, is_disk_full
from normsearch.storage.journal_entries import CREATE_STUDY, CREATE_TRIAL, is_operation

_SYNC_S = 1.0
_LOCK_GRACE_S = 10  # how long a writer killed while holding the lock delays the others
_GONE_LOOKS_S = (0.1, 0.4)  # a network file system may briefly not show a file
_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_CRC_LENGTH = len(b',"crc":"01234567"}')
_warned: set[tuple[str, int]] = set()  # the lines that this process has warned about


class _Place(NamedTuple):
    """A position in a journal: the entries, bytes, lines, studies and trials before it."""

    entries: int = 0
    offset: int = 0
    lines: int = 0
    studies: int = 0
    trials: int = 0

    def after(self, operation: int | None) -> _Place:
        """Return the place after an operation, where only studies and trials are counted."""
        return self._replace(
            studies=self.studies + (operation == CREATE_STUDY),
            trials=self.trials + (operation == CREATE_TRIAL),
        )


class CrashSafeJournal(JournalFileBackend):
    """A `JournalFileBackend` whose lines carry a CRC-32, and which tolerates damaged ones.

    An incomplete last line is removed before the next one is appended. Any other damaged line is
    skipped with a warning.

    Args:
        path: the file; created if it does not exist.
        valid: checks an entry whose line has no checksum (of an older version).
    """

    def __init__(self, path: Path, valid: Callable[[Any], bool]) -> None:
        path = path.absolute()  # the lock is a link, which is resolved relative to its own folder
        lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_GRACE_S)
        with self._typed(path):
            super().__init__(str(path), lock_obj=lock)
        self._path, self._valid = path, valid
        self._synced, self._place = 0.0, _Place()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line a log entry; the file ends with a complete line before and after.

        The file is synced to disk at most once a second. If the machine (not the process) fails,
        the last second is lost, and a trial resumes from a checkpoint ahead of the journal.

        Raises:
            DiskFullError: the disk is full; nothing is appended.
            GoneError: the file was deleted.
        """
        with self._typed(self._path), self._locked():
            file = os.open(self._path, os.O_RDWR | os.O_APPEND)
            try:
                _cut_torn_line(file)
                self._append(file, b"".join(self._lines(logs)))
            finally:
                os.close(file)

    def _append(self, file: int, content: bytes) -> None:
        before = os.fstat(file).st_size
        try:
            written = 0
            while written < len(content):
                written += os.write(file, content[written:])
            if time.monotonic() - self._synced >= _SYNC_S:
                os.fsync(file)
                self._synced = time.monotonic()
        except OSError:
            os.ftruncate(file, before)
            raise

    def _lines(self, logs: list[dict[str, Any]]) -> Generator[bytes, None, None]:
        for log in logs:
            yield seal(log)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries from a number on; damaged lines have no number.

        Raises:
            StudyError: a damaged line cannot be skipped.
            GoneError: the file was deleted.
        """
        begin = self._place if self._place.entries <= log_number_from else _Place()
        for place, entry in self._scan(begin):
            self._place = place
            if entry is not None and place.entries > log_number_from:
                yield entry

    def _scan(self, place: _Place) -> Generator[tuple[_Place, dict[str, Any] | None], None, None]:
        """Yield the entry of each complete line (None if damaged), and the place after it."""
        with self._typed(self._path), self._path.open("rb") as file:
            file.seek(place.offset)
            entries, offset, lines, studies, trials = place
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written, or incomplete
                if not self._skips(line):
                    entry = self._entry(line, _Place(entries, offset, lines, studies, trials))
                    operation = entry.get("op_code") if entry else None
                    entries += entry is not None
                    studies += operation == CREATE_STUDY
                    trials += operation == CREATE_TRIAL
                    yield _Place(entries, offset + len(line), lines + 1, studies, trials), entry
                offset, lines = offset + len(line), lines + 1

    def _skips(self, line: bytes) -> bool:
        """Return whether a reader has no use for a line."""
        return False

    def _entry(self, line: bytes, place: _Place) -> dict[str, Any] | None:
        """Return the entry of a line, None if it is damaged."""
        text = line.rstrip(b"\r\n")
        found = _SEAL.fullmatch(text, len(text) - _CRC_LENGTH)
        whole = found is not None and int(found[1], 16) == zlib.crc32(text[:-_CRC_LENGTH])
        entry = _parsed(text) if whole or not found else None
        if not isinstance(entry, dict) or not (whole or self._valid(entry)):
            self._warn_of_damage(place)
            return None
        return entry

    def _warn_of_damage(self, place: _Place) -> None:
        where = (str(self._path), place.lines + 1)
        if where in _warned:
            return
        _warned.add(where)
        warnings.warn(
            f"{where[0]}: line {where[1]} must be an entry, and is damaged; it is skipped, and "
            "its content is lost.",
            stacklevel=4,
        )

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        self._lock.acquire()
        try:
            yield
        finally:
            with suppress(RuntimeError):  # removed while this process was stopped
                self._lock.release()

    @contextmanager
    def _typed(self, path: Path) -> Generator[None, None, None]:
        """Turn the errors of a full disk and of a deleted folder into typed ones."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(path) from error
            if isinstance(error, FileNotFoundError) and _is_gone(path):
                raise GoneError(
                    f"{path}: must stay while the run is in progress, and was deleted; restore "
                    "the run's folder, or start a new run."
                ) from error
            raise


class StudyJournal(CrashSafeJournal):
    """The journal of an Optuna study; its lines also record how many trials were created before.

    An entry names a trial by the number of trials before it in the file. If the line that created
    a trial is damaged, all later entries would be applied to the wrong trials.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, is_operation)
        self._end = _Place()  # as far as known

    def _lines(self, logs: list[dict[str, Any]]) -> Generator[bytes, None, None]:
        self._end = max(self._end, self._place, key=lambda place: place.offset)
        for place, _ in self._scan(self._end):
            self._end = place  # what others have written
        place = self._end
        for log in logs:
            self._refuse(log, place)
            yield seal({**log, "trials": place.trials})
            place = place.after(log["op_code"])

    def _refuse(self, log: dict[str, Any], place: _Place) -> None:
        """Raise unless a new entry is of a study and a trial that exist."""
        what = _unknown(log, place)
        if what and self._damaged():
            raise self._wrong(place, what)
        if what:  # written, it would make the journal unreadable
            raise KeyError(f"{self._path}: a new entry {what}")

    def _entry(self, line: bytes, place: _Place) -> dict[str, Any] | None:
        entry = super()._entry(line, place)
        if entry is None:
            return None
        if entry.pop("trials", place.trials) != place.trials:
            raise self._wrong(
                place, f"follows {place.trials} created trials, but was written after more"
            )
        if what := _unknown(entry, place):
            raise self._wrong(place, what)
        return entry

    def _damaged(self) -> list[int]:
        return sorted(line for path, line in _warned if path == str(self._path))

    def _wrong(self, place: _Place, what: str) -> StudyError:
        lines = self._damaged()
        damaged = f" (damaged: line {', '.join(map(str, lines))})" if lines else ""
        return StudyError(
            f"{self._path}: line {place.lines + 1} {what}: a line that creates one is "
            f"lost{damaged}; restore the file from a copy, or start a new run."
        )


class SkimmedJournal(StudyJournal):
    """A journal read for its outcomes only, without norm parameters, norm maps and notes.

    These make up nine tenths of a long journal, and of the time to read it.
    """

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries of interest since the last call, whatever number is asked from."""
        yield from super().read_logs(self._place.entries)

    def _skips(self, line: bytes) -> bool:
        return _is_detail(line)


def _unknown(entry: dict[str, Any], place: _Place) -> str | None:
    """Return, as the end of a sentence, which trial or study of an entry does not exist."""
    if entry.get("trial_id", -1) >= place.trials:
        return f"is of trial {entry['trial_id']}, which no line before creates"
    if entry.get("study_id", -1) >= place.studies:
        return "is of a study that no line before creates"
    return None


def seal(log: dict[str, Any]) -> bytes:
    """Return an entry as a line of JSON that ends with the CRC-32 of the text before."""
    text = json.dumps(log, separators=(",", ":")).encode()[:-1]
    return text + b',"crc":"%08x"}\n' % zlib.crc32(text)


def _parsed(text: bytes) -> Any:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(entry, dict):
        entry.pop("crc", None)
    return entry


def _is_detail(line: bytes) -> bool:
    # Optuna's codes: 5 sets a parameter (its value is also in the attribute `values`), 8 a user
    # attribute, 9 a system attribute. The first bytes are compared since parsing is slow. A
    # constraint is no detail: it decides which trial is the best.
    if line.startswith(b'{"op_code":8,'):
        return b'"user_attr":{"norm_map"' in line
    if line.startswith(b'{"op_code":9,'):
        return b'"system_attr":{"constraints:' not in line
    return line.startswith(b'{"op_code":5,')


def _is_gone(path: Path) -> bool:
    for pause in _GONE_LOOKS_S:
        if path.exists():
            return False
        time.sleep(pause)
    return not path.exists()


def _cut_torn_line(file: int) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        end = os.pread(file, size, 0).rfind(b"\n") + 1
        if (
            os.fstat(file).st_size == size
        ):  # else another process has taken the lock and truncated it
            os.ftruncate(file, end)
            os.fsync(file)
