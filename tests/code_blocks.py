"""The fenced code blocks of a Markdown page, and a folder in which they can run."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.cli.main import main
from normsearch.confirmation.execution import execute
from normsearch.data import Volume, write_volume

ROOT = Path(__file__).resolve().parents[1]


def code_blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each fenced block of a page below the root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def write_data_set(folder: Path) -> None:
    """Write a data set of six subjects with two slices each, 32 x 32, in the layout folders."""
    rows = ["id,fold"]
    for number in range(6):
        random = np.random.default_rng(number)
        label = np.zeros((2, 32, 32), np.uint8)
        label[:, 8:24, 6 + number : 24] = 1
        image = (100 * label + random.normal(0, 10, label.shape)).astype(np.int16)
        for kind, array in (("images", image), ("labels", label)):
            write_volume(folder / kind / f"s{number}.nii.gz", Volume(array, (2.0, 1.0, 1.0)))
        rows.append(f"s{number},{number % 4}")
    (folder / "folds.csv").write_text("\n".join(rows) + "\n")


def write_command(path: Path, text: str) -> None:
    """Write a program that a shell can call by its name."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run_shell(text: str, folder: Path, **environment: str) -> str:
    """Run a block of shell lines in a folder and return its output; ``normsearch`` is this one.

    FOLDER/bin comes first on the path.
    """
    write_command(
        folder / "bin" / "normsearch", f'#!/bin/sh\nexec {sys.executable} -m normsearch "$@"\n'
    )
    path = os.pathsep.join(
        [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    given = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def train_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every study of this process train in it, whatever executor it names."""

    def local(coordinator: Any, prepared: Any, workers: Any, executor: Any, address: Any) -> None:
        execute(coordinator, prepared, None, "local", None)

    monkeypatch.setattr("normsearch.study.execute", local)


def run_here(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the ``normsearch`` lines of a block of shell lines in this process and folder."""
    for line in text.splitlines():
        words = shlex.split(os.path.expandvars(line), comments=True)
        if words[:1] == ["normsearch"]:
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as end:
                main()
            assert end.value.code in (0, None), line
