"""README is short, and its code runs as printed, on tiny data."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import normsearch
from tests.code_blocks import (
    ROOT,
    code_blocks,
    run_here,
    run_shell,
    train_here,
    write_command,
    write_data_set,
)

MY_CODE = """
import torch
from torch import nn

def MyNetwork():
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*first, nn.Conv2d(16, 1, 1))

def train_epoch(network, optimizer, batch_size):
    images = torch.randn(batch_size, 1, 16, 16)
    loss = ((network(images) - 1) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

def validate(network, scored_on):
    assert scored_on == "validation"
    return 1 / (1 + float(next(network.parameters()).abs().mean().detach()))
"""
CLUSTER = """
import sys, ray
started = ray.init(num_cpus=2, include_dashboard=False)
print("HEAD=" + started.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
RAY = """#!/bin/sh
if [ "$1" = start ]; then echo "$@" >> started; else exec {real} "$@"; fi
"""


def block(language: str, holding: str) -> str:
    """Return the one block of README in a language that holds a text."""
    (found,) = (
        text for kind, text in code_blocks("README.md") if kind == language and holding in text
    )
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the data set ``mydata``, README's study, and a user's own code."""
    write_data_set(tmp_path / "mydata")
    (tmp_path / "mystudy.yaml").write_text(block("yaml", "# mystudy.yaml"))
    (tmp_path / "my_code.py").write_text(MY_CODE)
    return tmp_path


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200
    for language, text in code_blocks("README.md"):
        assert language in ("sh", "yaml", "python")
        assert sum(map(bool, text.splitlines())) < 15


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line.split("#")[0].split() for line in block("sh", "make demo").splitlines()]
    assert [words[0] for words in lines] == ["make", "make"]
    assert all(f"\n{words[1]}:" in targets for words in lines)


HOW = ["here", pytest.param("shell", marks=pytest.mark.slow)]
"""In this process without Ray, or by a shell, as printed."""


def run_as(how: str, text: str, folder: Path, patch: pytest.MonkeyPatch, **given: str) -> None:
    """Run a block of shell lines."""
    if how == "shell":
        run_shell(text, folder, **given)
        return
    patch.chdir(folder)
    patch.delenv("NORMSEARCH_DATA", raising=False)
    for name, value in given.items():
        patch.setenv(name, value)
    train_here(patch)
    run_here(text, patch)


def finished(folder: Path, name: str) -> int:
    """Return how many trials of a run below a folder are finished."""
    states = normsearch.open_study(folder / "runs" / name).trials()["state"]
    return int(states.isin(["COMPLETE", "PRUNED"]).sum())


@pytest.mark.parametrize("how", HOW)
def test_your_data(how: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_as(how, block("sh", "normsearch validate"), folder, monkeypatch)
    assert finished(folder, "mystudy") == 6
    assert (folder / "runs" / "mystudy" / "report" / "report.html").is_file()


@pytest.mark.parametrize("how", HOW)
def test_your_training_loop(how: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = block("python", "# my_loop.py")
    (folder / "my_loop.py").write_text(text)
    if how == "shell":
        run_shell("python my_loop.py", folder)
    else:
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        train_here(monkeypatch)
        importlib.import_module("my_loop")
    assert finished(folder, "my_loop") == 12


@pytest.fixture
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster on loopback in place of ``ray start``; yield what the shell must know."""
    home = {"HOME": str(folder), "RAY_AUTH_MODE": "token"}
    write_command(folder / "bin" / "ray", RAY.format(real=Path(sys.executable).parent / "ray"))
    run_shell("ray get-auth-token --generate", folder, **home)
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env={**os.environ, **home, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        address = next(line for line in running.stdout if line.startswith("HEAD=")).strip()
        yield {"HOME": str(folder), "HEAD": address.removeprefix("HEAD=")}
        running.communicate("", timeout=60)


@pytest.mark.slow
def test_your_cluster(folder: Path, cluster: dict[str, str]) -> None:
    run_shell(block("sh", "ray start"), folder, **cluster)
    started = (folder / "started").read_text().splitlines()
    assert started == ["start --head --port=6379", f"start --address={cluster['HEAD']}"]
    assert finished(folder, "large") == 9


def test_the_commands_of_a_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        head = f"127.0.0.1:{listening.getsockname()[1]}"
        run_as("here", block("sh", "ray start"), folder, monkeypatch, HEAD=head)
    assert finished(folder, "large") == 9
