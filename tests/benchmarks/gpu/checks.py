"""The tests that need a GPU, and those of Triton's kernels, by pytest where it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.gpu.timing import Row

TITLE = "Tests that need a GPU"
TESTS = Path(__file__).resolve().parents[2]
NO_PYTEST = "pytest is not installed, so the tests were not run; pip install pytest"


def marked() -> list[Path]:
    """Return the files with tests that need a GPU, and those of Triton's kernels."""
    files = sorted(TESTS.rglob("test_*.py"))
    return [
        path
        for path in files
        if "@pytest.mark.gpu" in path.read_text(encoding="utf-8") or path.stem == "test_triton_norm"
    ]


def measure(device: str) -> Iterator[Row]:
    """Yield a row a file: the last line of pytest, which counts what passed."""
    if importlib.util.find_spec("pytest") is None:
        yield {"file": "all", "result": "", "note": NO_PYTEST}
        return
    for path in marked() if device != "cpu" else ():
        chosen = [] if path.stem == "test_triton_norm" else ["-m", "gpu"]
        # The fixtures of tests/conftest.py need what reads images.
        command = [sys.executable, "-m", "pytest", "-q", f"--confcutdir={path.parent}", *chosen]
        done = subprocess.run(
            [*command, str(path)], capture_output=True, text=True, cwd=TESTS.parent
        )
        told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        last = (done.stdout.strip() or done.stderr.strip() or "no output").splitlines()[-1]
        name = str(path.relative_to(TESTS.parent))
        yield {"file": name, "result": last.strip("= "), "note": "; ".join(told)[:500]}
