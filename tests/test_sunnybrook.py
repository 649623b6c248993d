"""The shipped study on real images, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.data
def test_sunnybrook_quick_finds_a_good_network(data_root: Path, tmp_path: Path) -> None:
    def normsearch(*arguments: str) -> str:
        command = [sys.executable, "-m", "normsearch", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    normsearch("run", "sunnybrook_quick", "--data", str(data_root))
    found = json.loads(normsearch("status", "sunnybrook_quick", "--json"))
    assert found["best"]["score"] > 0.75
    assert found["states"]["PRUNED"] > 0
    assert found["states"]["COMPLETE"] + found["states"]["PRUNED"] == found["asked"]
