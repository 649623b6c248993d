"""A PostgreSQL server of the test's own, in a temporary folder, that can be stopped and started."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# The machine does not crash in a test, the server may: what it wrote must be there, not on disk.
_FAST = "-c fsync=off -c full_page_writes=off"


def find_server() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: Debian's newest, else that of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    found = [folder for folder in debian if (folder / "initdb").exists()]
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@dataclass
class Server:
    """One server on a port of this machine; `url` is what ``--storage`` takes."""

    binaries: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Return the URL of its only database."""
        return f"postgresql+psycopg://normsearch@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"{_FAST} -p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self._call("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``immediate`` is a crash, ``fast`` cuts connections and settles."""
        self._call("pg_ctl", "-w", "-m", mode, "stop")

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.folder / "data"), *arguments]
        if os.getuid() == 0:  # the server refuses to run as root
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        subprocess.run(
            command, check=True, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[Server]:
    """Run a server for the block, or skip the test where none is installed."""
    binaries = find_server()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    folder = Path(tempfile.mkdtemp(prefix="normsearch-pg-"))  # short: it holds the socket
    if os.getuid() == 0:
        owner = pwd.getpwnam("nobody")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    made = Server(binaries, folder, free_port())
    made._call("initdb", "-U", "normsearch", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    made.start()
    try:
        yield made
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # the test left it stopped
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)
