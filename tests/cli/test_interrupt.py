"""Ctrl-C on a running study, as a terminal sends it: to every process of the group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from .conftest import Outcome


def test_ctrl_c_settles_and_the_run_can_be_gone_on_with(
    normsearch: Callable[..., Outcome], study_file: Path, data_set: Path
) -> None:
    command = [sys.executable, "-m", "normsearch", "run", str(study_file), "--data", str(data_set)]
    endless = ["--workers", "1", "--set", "search.trials=5000"]
    process = subprocess.Popen(
        [*command, *endless], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    seen = []
    while not seen or "trial 4" not in seen[-1]:
        seen.append(process.stderr.readline())
        assert seen[-1], f"ended before Ctrl-C: {''.join(seen)}"
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 130
    process.stderr.close()
    assert "Interrupted; nothing is lost. Go on with: normsearch resume tiny" in rest
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive

    found = json.loads(normsearch("status", "tiny", "--json").out)["states"]
    assert found["RUNNING"] == 0
    assert found["INTERRUPTED"] <= 1
    begun = sum(found.values()) - found["WAITING"]
    assert normsearch("resume", "tiny", "--trials", begun + 1, "--local").code == 0
    found = json.loads(normsearch("status", "tiny", "--json").out)["states"]
    assert found["COMPLETE"] + found["PRUNED"] == begun + 1
    assert found["INTERRUPTED"] == found["RUNNING"] == found["WAITING"] == 0
