"""A tiny data set and study on disk, and the command line called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from normsearch.cli.main import main


class Outcome(NamedTuple):
    """What a call of the command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def normsearch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Return a function that calls ``normsearch ARGUMENTS`` in an empty working folder."""
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NORMSEARCH_DATA", "NORMSEARCH_RUNS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["normsearch", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return Outcome(int(str(code or 0)), out, err)

    return call
