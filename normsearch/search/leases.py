"""Who trains which trial: owners, their signs of life, and claims that only one can win.

The log is a journal file in the run's folder, beside the checkpoints, so it works with every
storage. Its lines are totally ordered, and that order decides: of several claims to the same
trial and epoch, the first line wins.
"""

from __future__ import annotations

import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from normsearch.search.journal import CrashSafeJournal

BEAT_S = 15.0
EXPIRY_S = 60.0


@dataclass
class _State:
    owners: dict[str, dict[str, Any]] = field(default_factory=dict)
    beats: dict[str, float] = field(default_factory=dict)
    claims: dict[int, list[str | None]] = field(default_factory=dict)  # by epoch; None = released
    stopped: set[str] = field(default_factory=set)

    def apply(self, entry: dict[str, Any]) -> None:
        owner = entry["owner"]
        if entry["op"] == "claim":
            holders = self.claims.setdefault(entry["trial"], [])
            if entry["epoch"] == len(holders):
                holders.append(owner)
        elif entry["op"] == "release":
            holders = self.claims.get(entry["trial"], [])
            if holders and holders[-1] == owner:
                holders[-1] = None
        elif entry["op"] == "leave":
            self.owners.pop(owner, None)
        elif entry["op"] == "stop":
            self.stopped.update(self.owners)
        else:
            if entry["op"] == "owner":
                self.owners[owner] = entry
            self.beats[owner] = entry["time"]


class Leases:
    """The leases of one run, as one owner (a driver process) sees and changes them.

    Args:
        path: the log, on a file system that all drivers of the run share.
    """

    def __init__(self, path: Path) -> None:
        self._journal = CrashSafeJournal(path)
        self._state, self._read = _State(), 0
        self._lock = threading.Lock()
        self.owner = uuid.uuid4().hex[:12]
        self._registered = False

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life every `BEAT_S` seconds while the block runs."""
        self._register()
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT_S):
                try:
                    self._write(op="beat", time=time.time())
                except OSError:
                    continue  # a folder that is gone for a moment; the next beat says the same

        thread = threading.Thread(target=beat, name="normsearch-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def claim(self, trial: int) -> bool:
        """Try to become the holder of `trial` (a number); False if held, or if others were first.

        A trial is free if nobody claimed it yet, its holder released it, or its holder is dead.
        Claiming a number that no trial has yet reserves the right to create it.
        """
        with self._lock:
            self._sync()
            holders = self._state.claims.get(trial, [None])
            if holders[-1] is not None and self._alive(holders[-1]):
                return False
            epoch = len(self._state.claims.get(trial, []))
        self._register()
        self._write(op="claim", trial=trial, epoch=epoch)
        with self._lock:
            self._sync()
            return self._state.claims[trial][epoch] == self.owner

    def holder(self, trial: int) -> str | None:
        """Return the living owner that holds `trial`, or None if it is free."""
        with self._lock:
            self._sync()
            last = self._state.claims.get(trial, [None])[-1]
            return last if last is not None and self._alive(last) else None

    def epoch(self, trial: int) -> int:
        """Return how many times `trial` has been claimed."""
        with self._lock:
            self._sync()
            return len(self._state.claims.get(trial, []))

    def release(self, trial: int) -> None:
        """Give `trial` back, so that the next owner need not wait for this one's death."""
        self._write(op="release", trial=trial)

    def leave(self) -> None:
        """Be no owner any more; what is still held is free."""
        if self._registered:
            self._write(op="leave")
            self._registered = False

    def stop_all(self) -> list[str]:
        """Ask every owner there is to stop, but none that comes later; return the living ones."""
        self._write(op="stop")
        with self._lock:
            self._sync()
            return [owner for owner in self._state.stopped if self._alive(owner)]

    @property
    def stopped(self) -> bool:
        """Whether this owner was asked to stop."""
        with self._lock:
            self._sync()
            return self.owner in self._state.stopped

    def _register(self) -> None:
        if not self._registered:
            process = psutil.Process()
            started = process.create_time()
            self._write(
                op="owner", host=_host(), pid=process.pid, started=started, time=time.time()
            )
            self._registered = True

    def _write(self, **entry: Any) -> None:
        self._journal.append_logs([{**entry, "owner": self.owner}])

    def _sync(self) -> None:
        for entry in self._journal.read_logs(self._read):
            self._state.apply(entry)
            self._read += 1

    def _alive(self, owner: str) -> bool:
        known = self._state.owners.get(owner)
        if owner == self.owner:
            return True
        if known is None:
            return False
        if known["host"] == _host():
            return _runs(known["pid"], known["started"])
        return time.time() - self._state.beats[owner] < EXPIRY_S


def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()}:{boot.read_text().strip() if boot.exists() else ''}"


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        alive = (
            abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    return alive
