"""The wheel alone, in an empty folder: studies, spaces, figures and report are all in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = ["phantom.size=32", "phantom.subjects=5", "validation_folds=[4]", "test_folds=[5]"]
SETTINGS = [
    *(f"task.{text}" for text in TINY),
    *("network.first_channels=4", "network.depth=1", "training.samples=8"),
    *("training.evaluations=2", "search.trials=9", "space.norm.choices=[BN, SN]"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the freshly built wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


def test_wheel_runs_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    def python(*arguments: str) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(site),
            "NORMSEARCH_CACHE": str(tmp_path / "c"),
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=working,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    working = tmp_path / "empty"
    working.mkdir()
    (working / "analysis.py").write_text("raise ImportError('a module of the user's own')\n")
    where = "import normsearch.analysis as a; print(a.__name__, a.__file__)"
    assert python("-c", where).split() == [
        "normsearch.analysis",
        str(site / "normsearch" / "analysis" / "__init__.py"),
    ]
    assert "quickstart" in python("-m", "normsearch", "list", "studies")
    assert "per_layer" in python("-m", "normsearch", "list", "spaces")
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    python("-m", "normsearch", "run", "quickstart", "--local", *sets)
    assert "layer_preference.png" in python("-m", "normsearch", "plot", "all", "quickstart")
    python("-m", "normsearch", "report", "quickstart")
    assert (working / "runs/quickstart/report/report.html").stat().st_size > 10_000
    python("-m", "normsearch.analysis.search_history", "runs/quickstart", "-o", "history.png")
    assert (working / "history.png").stat().st_size > 5000


def test_wheel_holds_the_packages_and_nothing_else(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"bin"} == {"normsearch"}
    assert (site / "normsearch" / "py.typed").is_file()
    sources = {path.name for path in (site / "normsearch" / "norms").glob("kernels*.[ch]")}
    assert sources == {"kernels.c", "kernels_algebra.h", "kernels_passes.h"}
    assert (site / "normsearch" / "share" / "studies" / "quickstart.yaml").is_file()
    assert (site / "normsearch" / "analysis" / "report.html.j2").is_file()
    assert (site / "normsearch" / "benchmark" / "table.csv.gz").is_file()
