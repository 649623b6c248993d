"""`make gpu` without a GPU: its sentence, and a rehearsal with nothing but torch and NumPy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from normsearch.norms import build_norm
from tests.benchmarks.gpu import __main__ as gpu
from tests.benchmarks.gpu import checks, norms

ROOT = Path(__file__).resolve().parents[2]
ALONE = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            return None
        return next((spec for one in finders if (spec := one.find_spec(name, path, target))), None)

NAMES = "ray optuna pandas seaborn matplotlib scipy monai nibabel nrrd PIL pydantic yaml typer"
NAMES = NAMES.split()
finders = [*sys.meta_path]
sys.meta_path[:] = [Absent()]
sys.argv = ["gpu", *sys.argv[1:]]
runpy.run_module("tests.benchmarks.gpu", run_name="__main__")
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ALONE, str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
            **environment,
        },
    )


def test_a_rehearsal_needs_torch_and_numpy_alone(tmp_path: Path) -> None:
    done = run(tmp_path / "out", NORMSEARCH_REHEARSE="1", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "rehearsal-on-a-cpu.json").read_text())
    parts = found["parts"]
    assert parts["tests"] == parts["memory"] == []
    assert [row["norm"] for row in parts["norms"]] == norms.texts()[::4]
    assert len(parts["steps"]) == 4
    assert [row["trainings"] for row in parts["side_by_side"]] == [2]
    rows = [*parts["norms"], *parts["steps"], *parts["side_by_side"]]
    assert [row["note"] for row in rows if row["note"]] == []
    page = (tmp_path / "out" / "rehearsal-on-a-cpu.md").read_text()
    assert page.count("\n## ") == 5
    assert f"## {norms.TITLE}\n\n| norm | shape | input | way | ms |" in page


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == gpu.NO_DEVICE + "\n"
    assert not (tmp_path / "out").exists()


def test_without_pytest_it_says_that_no_test_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert list(checks.measure("cuda")) == [{"file": "all", "result": "", "note": checks.NO_PYTEST}]


def test_the_tests_that_need_a_gpu_are_found() -> None:
    names = {path.name for path in checks.marked()}
    assert {"test_engine.py", "test_memory.py", "test_triton_norm.py"} <= names


def test_every_norm_of_the_table_can_be_built() -> None:
    for text in norms.texts():
        build_norm(text, 32, 2)
