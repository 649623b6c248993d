"""Full file systems (tmpfs): one sentence, and `resume` completes the run without loss."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from normsearch.errors import DiskFullError
from normsearch.training import load_newest, save_newest
from tests.cli.conftest import Outcome, normsearch  # noqa: F401

Call = Callable[..., Outcome]
LEVELS = 70
TRIALS = 3


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return a function that gives a tmpfs of so many bytes, or makes it that large."""
    folder = tmp_path / "small"
    folder.mkdir()

    def size(count: int) -> Path:
        option = f"size={count}"
        again = ("remount," if os.path.ismount(folder) else "") + option
        told = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", again, "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
        if told.returncode:
            pytest.skip("needs the right to mount a tmpfs")
        return folder

    yield size
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("pages", range(0, LEVELS, 3))
def test_a_checkpoint_is_whole_or_the_one_before_stays(
    small: Callable[[int], Path], pages: int
) -> None:
    """The state takes about 48 pages: at some levels it fits, at some not, twice or once."""
    folder, page = small(4096 * LEVELS * 2), 4096
    before = {"samples": 1, "weights": torch.zeros(12 * 4096)}
    save_newest(folder, before)
    free = os.statvfs(folder).f_bavail
    (folder / "ballast").write_bytes(bytes(page * max(free - pages, 0)))
    after = {"samples": 2, "weights": torch.ones(12 * 4096)}
    try:
        save_newest(folder, after)
    except DiskFullError as error:
        assert pages < 52
        assert "checkpoint.pt: the disk must have room" in str(error)  # noqa: PT017
        wanted = 1
    else:
        assert pages > 45
        wanted = 2
    state, refused = load_newest(folder)
    assert (state or {})["samples"] == wanted
    assert refused == []
    assert {path.name for path in folder.iterdir()} <= {
        *("ballast", "checkpoint.pt", "checkpoint-previous.pt"),
    }


def run_out_of_room(
    normsearch: Call,  # noqa: F811
    arguments: list[object],
    folder: Path,
    small: Callable[[int], Path],
    room: int,
    *how: str,
) -> bool:
    """Run with so many bytes free, then with plenty; whether it was too little."""
    small(room)
    first = normsearch("run", *arguments, "--runs-dir", folder, *how)
    assert "Traceback" not in first.err, first.err
    small(64_000_000)
    if first.code:
        assert first.code == 1, first.err
        sentences = [line for line in first.err.splitlines() if line.startswith("normsearch: ")]
        errors = [line for line in sentences if not line.startswith("normsearch: warning:")]
        assert len(errors) == 1, first.err
        assert re.search("the disk must have room for (this file|a run), and is full", errors[0])
        began = (folder / "tiny" / "study.yaml").is_file()
        verb = ("resume", "tiny") if began else ("run", *arguments)
        again = normsearch(*verb, "--runs-dir", folder, *how)
        assert again.code == 0, again.err
    found = json.loads(normsearch("status", "tiny", "--runs-dir", folder, "--json").out)
    ended = {state: count for state, count in found["states"].items() if count}
    assert ended.get("COMPLETE", 0) + ended.get("PRUNED", 0) == TRIALS, found["trials"]
    assert set(ended) <= {"COMPLETE", "PRUNED", "DUPLICATE", "WAITING"}, found["trials"]
    for trial in (folder / "tiny" / "trials").iterdir():
        assert not list(trial.glob(".*")), "a temporary file is left"
    return first.code != 0


@pytest.fixture
def arguments(study_file: Path, data_set: Path) -> list[object]:
    wider = ["--set", "network.first_channels=16", "--set", f"search.trials={TRIALS}"]
    return [study_file, "--data", data_set, *wider]


@pytest.mark.parametrize("room", [4096 * pages for pages in (2, 5, 20, 60, 110, 170)])
def test_six_levels_of_free_space(
    normsearch: Call,  # noqa: F811
    arguments: list[object],
    small: Callable[[int], Path],
    room: int,
) -> None:
    run_out_of_room(normsearch, arguments, small(room), small, room, "--local")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_seventy_levels_of_free_space(
    normsearch: Call,  # noqa: F811
    arguments: list[object],
    small: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    full = 0
    for level in range(LEVELS):
        folder = small(64_000_000)
        subprocess.run(f"rm -rf {folder}/*", shell=True, check=True)
        room = 4096 * (1 + 6 * level)
        full += run_out_of_room(normsearch, arguments, folder, small, room, "--local")
    assert 20 < full < LEVELS


@pytest.mark.slow
@pytest.mark.parametrize("room", [4096 * 110])
def test_on_ray_too(
    normsearch: Call,  # noqa: F811
    arguments: list[object],
    small: Callable[[int], Path],
    room: int,
) -> None:
    assert run_out_of_room(normsearch, arguments, small(room), small, room, "--workers", "2")
