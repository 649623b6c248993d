"""Leases: which driver trains which trial, decided by a log that all drivers share.

The log is a journal file in the run's folder, so it works with every storage. Of several claims
to the same trial and epoch, the first line in the log wins. An owner is a driver process; its
heartbeats are lines too.
"""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normsearch.errors import DiskFullError, NormsearchError
from normsearch.files import is_there
from normsearch.storage.driver_process import host_of, machine, process_start
from normsearch.storage.journal import CrashSafeJournal

LEASE_S = 60.0  # an owner on another machine without a heartbeat for so long is dead
_BEATS = 4  # heartbeats in a lease
_LOOK_S = 1.0
_LOST = 1000  # successive claims of a trial that may be lost
_NUMBERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stop", "leave"), ()),
    **dict.fromkeys(("owner", "beat"), ("time",)),
    "claim": ("trial", "epoch"),
    "release": ("trial",),
}
_ended: set[str] = set()  # owners of this process that could not record that they left


def is_entry(entry: Any) -> bool:
    """Whether a line of the log without a checksum is one of its operations."""
    if not isinstance(entry, dict) or not isinstance(entry.get("owner"), str):
        return False
    operation = entry.get("op")
    if not isinstance(operation, str) or operation not in _NUMBERS:
        return False
    kinds: dict[str, tuple[type, ...]] = {"trial": (int,), "epoch": (int,), "time": (int, float)}
    numbers = {name: kinds[name] for name in _NUMBERS[operation]}
    if not all(isinstance(entry.get(name), kind) for name, kind in numbers.items()):
        return False
    known = isinstance(entry.get("host"), str) and isinstance(entry.get("pid"), int)
    return operation != "owner" or (known and isinstance(entry.get("lease", 1), int | float))


@dataclass
class _State:
    owners: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, float] = field(
        default_factory=dict
    )  # time of each owner's last line, by our clock
    beats: dict[str, float] = field(default_factory=dict)  # and by the owner's clock
    claims: dict[int, list[str | None]] = field(default_factory=dict)  # by epoch; None = released
    stopped: set[str] = field(default_factory=set)
    sessions: dict[str, list[float]] = field(default_factory=dict)  # first and last line of each

    def apply(self, entry: dict[str, Any]) -> None:
        owner, operation = entry["owner"], entry["op"]
        if operation != "stop" and isinstance(moment := entry.get("time"), int | float):
            session = self.sessions.setdefault(owner, [moment, moment])
            session[1] = max(session[1], moment)
        if operation == "leave":
            self.owners.pop(owner, None)
            self.seen.pop(owner, None)
            return
        if operation == "stop":
            self.stopped.update(self.seen)
            return
        self.seen[owner] = time.monotonic()
        if operation == "claim":
            self._claim(entry["trial"], entry["epoch"], owner)
        elif operation == "release":
            holders = self.claims.get(entry["trial"], [])
            if holders and holders[-1] == owner:
                holders[-1] = None
        else:
            self.beats[owner] = entry["time"]
            if operation == "owner":
                self.owners[owner] = entry

    def _claim(self, trial: int, epoch: int, owner: str) -> None:
        holders = self.claims.get(trial, [])
        if (
            0 <= epoch - len(holders) < _LOST
        ):  # if more than 0, the claims between are damaged lines
            self.claims[trial] = [*holders, *[None] * (epoch - len(holders)), owner]


class Leases:
    """The leases of one run, as one owner (a driver process) sees and changes them.

    An owner on the same machine is alive while its process runs. An owner on another machine or
    in another container is alive while its heartbeats arrive. Their age is measured by this
    process's own clock, since the clocks of two machines differ. A new driver therefore waits for
    a whole lease before it takes a trial over.

    Args:
        path: the log, on a file system that all drivers of the run share.
        lease: seconds without a heartbeat after which others may take over this owner's trials.
        glance: read the log once, and judge heartbeats by the clocks of their owners.
    """

    def __init__(self, path: Path, *, lease: float = LEASE_S, glance: bool = False) -> None:
        self._path, self.lease, self._glance = path, lease, glance
        self._journal = CrashSafeJournal(path, is_entry)
        self._state, self._read = _State(), 0
        self._lock = threading.Lock()
        self.owner = uuid.uuid4().hex[:12]
        self._registered = False

    @contextmanager
    def beating(
        self, on_failure: Callable[[NormsearchError], None] = lambda error: None
    ) -> Iterator[None]:
        """Write heartbeats while the block runs; call `on_failure` if the log is gone."""
        self._register()
        stop = threading.Event()

        def watch() -> None:
            last = time.monotonic()
            while not stop.wait(min(_LOOK_S, self.lease / _BEATS)):
                try:
                    with self._lock:
                        self._sync()
                    if time.monotonic() - last >= self.lease / _BEATS:
                        self._write(op="beat", time=time.time())
                        last = time.monotonic()
                except (OSError, DiskFullError):
                    continue  # a temporary fault; the next heartbeat serves as well
                except NormsearchError as error:
                    on_failure(error)
                    return

        thread = threading.Thread(target=watch, name="normsearch-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def claim(self, trial: int) -> bool:
        """Try to become the holder of `trial` (a number); False if held, or if another was first.

        A trial is free if it was never claimed, its holder released it, or its holder is dead.
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
            holders = self._state.claims.get(trial, [])
            return len(holders) > epoch and holders[epoch] == self.owner

    def holder(self, trial: int) -> str | None:
        """Return the living owner that holds `trial`, or None if it is free."""
        with self._lock:
            self._sync()
            last = self._state.claims.get(trial, [None])[-1]
            return last if last is not None and self._alive(last) else None

    def unsure(self, trial: int) -> str | None:
        """Return the host of the holder of `trial`, if only heartbeats show whether it is alive."""
        with self._lock:
            self._sync()
            last = self._state.claims.get(trial, [None])[-1]
            if last is None or last == self.owner or not self._alive(last):
                return None
            known = self._state.owners.get(last, {"host": "an unknown machine"})
            return None if known["host"] == machine() else host_of(known["host"])

    def epoch(self, trial: int) -> int:
        """Return how many times `trial` has been claimed."""
        with self._lock:
            self._sync()
            return len(self._state.claims.get(trial, []))

    def release(self, trial: int) -> None:
        """Release `trial`, so that the next owner need not wait for the lease to expire."""
        self._write(op="release", trial=trial)

    def leave(self) -> None:
        """Stop being an owner; all trials still held are free."""
        if self._registered:
            self._write(op="leave", time=time.time())
            self._registered = False

    def abandon(self) -> None:
        """Stop being an owner in this process only, if that cannot be written."""
        _ended.add(self.owner)
        self._registered = False

    def stop_all(self) -> list[str]:
        """Ask all present owners to stop, but no later ones; return those that are alive."""
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

    def hours(self) -> float:
        """Return the hours in which at least one owner was at work, by its own clock.

        An owner that was killed counts up to its last heartbeat.
        """
        with self._lock:
            self._sync()
            sessions = [list(session) for session in self._state.sessions.values()]
            if self._registered and self.owner in self._state.sessions:
                sessions.append([self._state.sessions[self.owner][0], time.time()])
        total, reached = 0.0, -math.inf
        for begin, end in sorted(sessions):
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total / 3600

    def _register(self) -> None:
        if not self._registered:
            pid = os.getpid()
            facts = {"host": machine(), "pid": pid, "started": process_start(pid)}
            self._write(op="owner", **facts, lease=self.lease, time=time.time())
            self._registered = True
            _ended.discard(self.owner)

    def _write(self, **entry: Any) -> None:
        self._journal.append_logs([{**entry, "owner": self.owner}])

    def _sync(self) -> None:
        for entry in self._journal.read_logs(self._read):
            self._state.apply(entry)
            self._read += 1

    def _alive(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        if owner in _ended or owner not in self._state.seen:
            return False
        known = self._state.owners.get(owner, {})  # empty if its line is damaged
        if known.get("host") == machine():
            return bool(process_start(known["pid"]) == known["started"])
        if self._glance:
            age = time.time() - self._state.beats.get(owner, 0.0)
        else:
            age = time.monotonic() - self._state.seen[owner]
        return age < float(known.get("lease", LEASE_S))


def hours_of(folder: Path) -> float:
    """Return the hours in which drivers of the run in `folder` were at work; see `Leases.hours`."""
    log = folder / "leases.log"
    return Leases(log, glance=True).hours() if is_there(log) else 0.0
