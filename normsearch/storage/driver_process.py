"""The identity of a driver's process, which other processes of the same machine can check."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def machine() -> str:
    """Return the host, its boot and the container (pid namespace) of this process.

    Processes that see the same process ids return the same text.
    """
    boot, space = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"
    booted = boot.read_text().strip() if boot.exists() else ""
    return f"{platform.node()}:{booted}:{os.readlink(space) if os.path.lexists(space) else ''}"


def host_of(machine: str) -> str:
    """Return the host's name in what `machine` returned."""
    return machine.partition(":")[0]


def process_start(pid: int) -> str | None:
    """Return when a process of this machine started, None if it does not run (or is a zombie)."""
    try:
        if not Path("/proc/self/stat").exists():
            process = psutil.Process(pid)
            dead = process.status() == psutil.STATUS_ZOMBIE
            return None if dead else str(round(process.create_time()))
        # Ticks since boot, which do not depend on the system clock.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZXx" else fields[19]
    except (OSError, psutil.Error):
        return None
