"""Two drivers in two containers with one host name: no trial is trained twice or lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.search.test_coordinator import stored
from tests.search.test_ray_executor import ROOT, told

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
TRIALS, LEASE_S, LIMIT_S = 6, 2.0, 600


@pytest.fixture(scope="module", autouse=True)
def _containers() -> None:
    try:
        made = subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        made = 1
    if made:
        pytest.skip("needs the right to make a pid namespace (unshare)")


@contextmanager
def container(folder: Path, name: str, ahead: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
    words = [folder, TRIALS, LEASE_S, ahead]
    command = [*CONTAINER, sys.executable, "-m", "tests.search.contender", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder.parent / f"{name}.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def intervals(folder: Path) -> list[tuple[str, int, int, float, float]]:
    log = folder / "intervals"
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(who, int(n), int(i), float(b), float(e)) for who, n, i, b, e in rows]


def wait(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, output(folder)
        time.sleep(0.05)


def taken(folder: Path) -> list[float]:
    """Return when others than the first driver began intervals of its first trial."""
    me, held, *_ = intervals(folder)[0]
    found = intervals(folder)
    return [begin for who, number, _, begin, _ in found if who != me and number == held]


def output(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.parent.glob("*.txt"))


def check(folder: Path) -> None:
    """Check that every trial was told once, and each interval trained by one driver, once."""
    trials = stored(folder).trials
    assert all(trial.state.is_finished() for trial in trials)
    assert told(folder) == Counter({trial._trial_id: 1 for trial in trials})
    again = Counter((number, interval) for _, number, interval, *_ in intervals(folder))
    assert set(again.values()) == {1}
    assert "Traceback" not in output(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_two_containers_share_though_a_clock_is_ahead(folder: Path) -> None:
    with ExitStack() as both:
        drivers = [both.enter_context(container(folder, str(a), a)) for a in (0.0, 90.0)]
        assert [driver.wait(timeout=LIMIT_S) for driver in drivers] == [0, 0], output(folder)
    check(folder)
    assert len({who for who, *_ in intervals(folder)}) == 2


def test_what_a_silent_container_holds_goes_on_after_its_lease(folder: Path) -> None:
    """A stopped one, which differs from a killed one in that it comes back, too late."""
    with container(folder, "first") as first:
        wait(lambda: len(intervals(folder)) >= 2, folder)
        family = psutil.Process(first.pid).children(recursive=True)
        for process in family:
            process.send_signal(signal.SIGSTOP)
        silent = time.monotonic()
        with container(folder, "second", 90.0) as second:
            wait(lambda: bool(taken(folder)) or second.poll() is not None, folder)
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)
            assert second.wait(timeout=LIMIT_S) == 0, output(folder)
        assert first.wait(timeout=LIMIT_S) == 0, output(folder)
    check(folder)
    assert min(taken(folder)) > silent + LEASE_S * 0.9
