"""A tiny data set and study on disk, and the command line called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from normsearch.cli.main import main
from normsearch.data import Volume, write_volume


class Outcome(NamedTuple):
    """What a call of the command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Return a folder that holds the data set ``squares``: 4 subjects, 4 slices of 16 x 16."""
    root = tmp_path / "data" / "squares"
    rows = ["id,fold"]
    for index in range(4):
        random = np.random.default_rng(index)
        label = np.zeros((4, 16, 16), np.uint8)
        label[:, 4:12, 4 + index : 12] = 1
        image = (100 * label + random.normal(0, 5, label.shape)).astype(np.int16)
        for kind, array in (("images", image), ("labels", label)):
            write_volume(root / kind / f"s{index}.nrrd", Volume(array, (2.0, 1.0, 1.0)))
        rows.append(f"s{index},{index}")
    (root / "folds.csv").write_text("\n".join(rows) + "\n")
    return root.parent


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """Return the YAML file of a study on ``squares`` that takes a second or two."""
    study = {
        "name": "tiny",
        "task": {"data": "squares", "test_folds": [3], "validation_folds": [2]},
        "network": {"first_channels": 4, "depth": 1},
        "training": {"samples": 24, "evaluations": 3},
        "space": {
            "norm": {"choices": ["none", "BN", "IN", "SN"]},
            "learning_rate": {"low": 0.01, "high": 0.2, "default": 0.1},
            "batch_size": [2],
        },
        "search": {"trials": 6},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


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
