"""Optuna's journal file, made to survive a writer that dies in the middle of a line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

_SYNC_S = 1.0
_LOCK_GRACE_S = 10  # a writer killed with the lock in hand holds the others up this long


class CrashSafeJournal(JournalFileBackend):
    """A `JournalFileBackend` that cuts off a torn last line before it appends the next one.

    Optuna's own ignores a line without an end when it reads, but appends to it when it writes,
    which leaves a line nobody can read and a study nobody can load.
    """

    def __init__(self, path: Path) -> None:
        lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_GRACE_S)
        super().__init__(str(path), lock_obj=lock)
        self._synced = 0.0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line a log entry; the file ends with a whole line before and after.

        The disk is waited for once a second at most: it is the machine that may forget what came
        since, not the process, and a trial then goes on from a checkpoint ahead of the journal.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            _cut_torn_line(self._file_path)
            with open(self._file_path, "ab") as file:
                file.write(lines.encode())
                file.flush()
                if time.monotonic() - self._synced >= _SYNC_S:
                    os.fsync(file.fileno())
                    self._synced = time.monotonic()
        finally:
            self._lock.release()


class SkimmedJournal(CrashSafeJournal):
    """A journal read for its outcomes alone: norm parameters, norm maps and notes are left out.

    They are nine tenths of a long journal, and what reading it costs.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._offset = 0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries of interest since the last call, whatever number is asked from."""
        with open(self._file_path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written, or torn
                self._offset += len(line)
                if not _is_detail(line):
                    yield json.loads(line)


def _is_detail(line: bytes) -> bool:
    # Optuna's codes: 5 sets a parameter (its value is also in the attribute `values`), 8 a user
    # attribute, 9 a system attribute. Told by the first bytes, for parsing is what costs.
    if line.startswith(b'{"op_code":8,'):
        return b'"user_attr":{"norm_map"' in line
    return line.startswith((b'{"op_code":5,', b'{"op_code":9,'))


def _ends_whole(path: str) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _cut_torn_line(path: str) -> None:
    if not _ends_whole(path):
        with open(path, "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())
