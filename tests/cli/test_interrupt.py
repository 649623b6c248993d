"""Ctrl-C during a study, which a terminal sends to every process of the group."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from .conftest import Outcome

LIMIT_S = 600.0  # far beyond what any step here takes: a hang must end the test, not the suite


def wait_for(found: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + LIMIT_S
    while not found():
        assert process.poll() is None, f"ended before Ctrl-C: {log.read_text()}"
        assert time.monotonic() < end, f"nothing happened: {log.read_text()}"
        time.sleep(0.05)


def test_ctrl_c_settles_and_the_run_can_be_gone_on_with(
    normsearch: Callable[..., Outcome], study_file: Path, data_set: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "normsearch", "run", str(study_file), "--data", str(data_set)]
    endless = ["--workers", "1", "--set", "search.trials=5000"]
    log = tmp_path / "stderr.txt"  # a file: a process left over would keep a pipe open for ever
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, *endless], stderr=stderr, start_new_session=True)
    try:
        wait_for(lambda: "trial 4" in log.read_text(), process, log)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 130, log.read_text()
        _, alive = psutil.wait_procs(family, timeout=LIMIT_S)
        assert not alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    said = log.read_text()
    assert "Interrupted; nothing is lost. Resume with: normsearch resume tiny" in said
    assert "Traceback" not in said

    found = json.loads(normsearch("status", "tiny", "--json").out)["states"]
    assert found["RUNNING"] == 0
    assert found["INTERRUPTED"] <= 1
    begun = sum(found.values()) - found["WAITING"]
    assert normsearch("resume", "tiny", "--trials", begun + 1, "--local").code == 0
    found = json.loads(normsearch("status", "tiny", "--json").out)["states"]
    assert found["COMPLETE"] + found["PRUNED"] == begun + 1
    assert found["INTERRUPTED"] == found["RUNNING"] == found["WAITING"] == 0
