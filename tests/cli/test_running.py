"""A run in progress: watched, stopped, terminated and resumed with other options."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Outcome
from .test_interrupt import LIMIT_S, wait_for

Call = Callable[..., Outcome]


@contextlib.contextmanager
def driver(log: Path, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``normsearch ARGUMENTS`` beside the test; nothing of it is left after the block."""
    command = [sys.executable, "-m", "normsearch", *map(str, arguments)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def endless(study_file: Path, data_set: Path) -> list[object]:
    """Return the arguments of a run that would take hours."""
    data = ["--data", data_set, "--local"]
    return ["run", study_file, *data, "--set", "search.trials=5000"]


def states(normsearch: Call) -> dict[str, int]:
    return json.loads(normsearch("status", "tiny", "--json").out)["states"]


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
def test_stop_and_sigterm_settle_and_the_run_can_be_gone_on_with(
    normsearch: Call, endless: list[object], tmp_path: Path, how: str
) -> None:
    log = tmp_path / "stderr.txt"
    with driver(log, *endless) as process:
        wait_for(lambda: "trial 2" in log.read_text(), process, log)
        if how == "stop":
            asked = normsearch("stop", "tiny")
            assert asked.out.startswith("1 driver stops after the current evaluations.")
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=LIMIT_S) == (0 if how == "stop" else 143), log.read_text()
    said = "Stopped" if how == "stop" else "Terminated"
    assert f"{said}; nothing is lost. Resume with: normsearch resume tiny" in log.read_text()
    assert "Traceback" not in log.read_text()
    found = states(normsearch)
    assert found["RUNNING"] == 0
    assert found["INTERRUPTED"] <= 1
    begun = sum(found.values()) - found["WAITING"]
    assert normsearch("resume", "tiny", "--trials", begun + 1, "--local").code == 0
    found = states(normsearch)
    assert found["COMPLETE"] + found["PRUNED"] == begun + 1


def test_stop_where_nothing_runs(normsearch: Call, study_file: Path, data_set: Path) -> None:
    assert normsearch("run", study_file, "--data", data_set, "--local").code == 0
    assert normsearch("stop", "tiny").out == "No driver of tiny is running.\n"


def test_watch_says_a_line_a_change_and_ends_with_the_run(
    normsearch: Call, study_file: Path, data_set: Path, tmp_path: Path
) -> None:
    words = ["run", study_file, "--data", data_set, "--local", "--set", "search.trials=8"]
    log = tmp_path / "stderr.txt"
    with driver(log, *words) as process:
        wait_for(lambda: "trial 0" in log.read_text(), process, log)
        watched = normsearch("status", "tiny", "--watch", "--interval", 0.1)
    lines = watched.out.splitlines()
    assert watched.code == 0
    assert len(set(lines)) == len(lines) >= 2
    assert lines[-1].startswith("tiny: ")
    assert lines[-1].endswith("8 asked for")


def test_a_long_table_is_cut_to_the_newest(
    normsearch: Call, study_file: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert normsearch("run", study_file, "--data", data_set, "--local").code == 0
    monkeypatch.setattr("normsearch.cli.status._SHOWN", 2)
    short, whole = normsearch("status", "tiny").out, normsearch("status", "tiny", "--all").out
    assert "4 earlier trials are not shown; --all shows them" in short
    assert len(whole.splitlines()) == len(short.splitlines()) + 3


def test_resume_with_other_resources_and_elsewhere(
    normsearch: Call, study_file: Path, data_set: Path, tmp_path: Path
) -> None:
    assert normsearch("run", study_file, "--data", data_set, "--local").code == 0
    moved = tmp_path / "elsewhere"
    shutil.move(data_set, moved)
    shutil.move("runs", tmp_path / "other-machine")
    (tmp_path / "other-machine" / "tiny" / "local.json").unlink()
    where = ["--runs-dir", tmp_path / "other-machine", "--data", moved]
    more = ["--trials", 7, "--cpu", 2, "--set", "search.time_limit=60"]
    assert normsearch("resume", "tiny", *where, *more, "--local").code == 0
    trial = json.loads((tmp_path / "other-machine/tiny/trials/0006/trial.json").read_text())
    assert trial["threads"] == 2
    refused = normsearch("resume", "tiny", *where, "--set", "training.samples=3", "--local")
    assert refused.code == 1
    assert "--set training.samples=3: must be a key of search" in refused.err


def test_dashboard(normsearch: Call, study_file: Path, data_set: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import socket
    from urllib.request import urlopen

    assert normsearch("run", study_file, "--data", data_set, "--local").code == 0
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "optuna_dashboard", None)
        refused = normsearch("dashboard", "tiny")
    assert refused.code == 1
    assert "pip install 'normsearch[dashboard]'" in refused.err
    pytest.importorskip("optuna_dashboard", reason="the extra `dashboard` is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    from normsearch.search.dashboard import serve

    threading.Thread(
        target=serve, args=(Path("runs/tiny"), None, "127.0.0.1", port), daemon=True
    ).start()
    for _ in range(100):
        with contextlib.suppress(OSError):
            found = json.loads(urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).read())
            break
        threading.Event().wait(0.1)
    assert [study["study_name"] for study in found["study_summaries"]] == ["tiny"]
