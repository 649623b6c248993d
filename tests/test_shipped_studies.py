"""The shipped studies on real images, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def status_after_run(study: str, data_root: Path, folder: Path) -> dict[str, Any]:
    for arguments in (["run", study, "--data", str(data_root)], ["status", study, "--json"]):
        command = [sys.executable, "-m", "normsearch", *arguments]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["states"]["COMPLETE"] + found["states"]["PRUNED"] == found["asked"]
    return found


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("study", "least"), [("sunnybrook_quick", 0.75), ("hippocampus", 0.865), ("spine_ct", 0.9)]
)
def test_it_finds_a_good_network(study: str, least: float, data_root: Path, tmp_path: Path) -> None:
    found = status_after_run(study, data_root, tmp_path)
    assert found["best"]["score"] > least
    assert found["metric"] == "dice"
