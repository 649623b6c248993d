"""The wheel alone, in an empty folder: studies, spaces, figures and report are all in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from normsearch.norms.kernels import INCLUDED, SOURCE

ROOT = Path(__file__).resolve().parents[1]
TINY = ["phantom.size=32", "phantom.subjects=5", "validation_folds=[4]", "test_folds=[5]"]
SETTINGS = [
    *(f"task.{text}" for text in TINY),
    *("network.first_channels=4", "network.depth=1", "training.samples=8"),
    *("training.evaluations=2", "search.trials=9", "space.norm.choices=[BN, SN]"),
]

#: Several calls of the command line in one process, as imports take longer than the calls.
CALLS = """
import json, sys
import normsearch.analysis
from normsearch.__main__ import main
print(normsearch.analysis.__name__, normsearch.analysis.__file__)
for words in json.loads(sys.argv[1]):
    sys.argv = ["normsearch", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what is in the freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:  # what pip does with a wheel of Python files alone
        packed.extractall(folder / "site")
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
    assert "quickstart" in python("-m", "normsearch", "list", "studies")
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    calls = [["list", "spaces"], ["run", "quickstart", "--local", *sets]]
    calls += [["plot", "layer_preference", "quickstart"], ["report", "quickstart"]]
    told = python("-c", CALLS, json.dumps(calls))
    where, *_ = told.splitlines()
    assert where == f"normsearch.analysis {site / 'normsearch' / 'analysis' / '__init__.py'}"
    assert "per_layer" in told
    assert "layer_preference.png" in told
    assert (working / "runs/quickstart/report/report.html").stat().st_size > 10_000
    python("-m", "normsearch.analysis.search_history", "runs/quickstart", "-o", "history.png")
    assert (working / "history.png").stat().st_size > 5000


def test_wheel_holds_the_packages_and_nothing_else(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"normsearch"}
    assert (site / "normsearch" / "py.typed").is_file()
    sources = {path.name for path in (site / "normsearch" / "norms").glob("kernels*.[ch]")}
    assert sources == {SOURCE.name, *INCLUDED}
    assert (site / "normsearch" / "share" / "studies" / "quickstart.yaml").is_file()
    assert (site / "normsearch" / "analysis" / "report.html.j2").is_file()
    assert (site / "normsearch" / "benchmark" / "table.csv.gz").is_file()
