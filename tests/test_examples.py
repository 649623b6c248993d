"""The examples run as they are, resume what was interrupted, and the notebook draws its figures."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from matplotlib.figure import Figure

from normsearch.data import Split
from normsearch.search.jobs import trial_config
from normsearch.space.choice import Choice
from normsearch.trials.own_training import train_own

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LOOPS = ["plain_pytorch", "monai_loop", "lightning_loop"]


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return an example as a module, or skip where the library that it is about is missing."""
    if name == "lightning_loop":
        pytest.importorskip("lightning", reason="lightning is not installed")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


def test_a_plain_loop_is_searched_confirmed_and_opened_in_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = example("plain_pytorch", monkeypatch).study(runs_dir=tmp_path / "runs")
    found.run(executor="local")
    assert found.best["score"] > 0.9
    assert list(found.norm_map()) == ["1", "4", "7"]
    confirmed = found.confirm(top=1, seeds=1, executor="local")
    assert set(confirmed.record.cases()["case"]) == {"subject-8", "subject-9"}
    monkeypatch.chdir(tmp_path)
    shown = run_notebook(EXAMPLES / "open_a_study.ipynb")
    assert sum(isinstance(value, Figure) for value in shown) == 3


def run_notebook(path: Path) -> list[Any]:
    """Run the code cells of a notebook in order; return the value of each cell's last line."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    known: dict[str, Any] = {}
    values = []
    for cell in cells:
        if cell["cell_type"] == "code":
            *lines, last = "".join(cell["source"]).rstrip().splitlines()
            exec("\n".join(lines), known)
            values.append(eval(last, known))
    return values


@pytest.mark.parametrize("name", LOOPS[1:])
def test_a_loop_of_a_library_is_searched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = example(name, monkeypatch).study(runs_dir=tmp_path / "runs").run(executor="local")
    assert found.best is not None
    assert found.best["score"] > 0.5
    assert set(found.trials()["state"]) <= {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize("name", LOOPS)
def test_an_interrupted_trial_scores_as_a_whole_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = example(name, monkeypatch).study(runs_dir=tmp_path / "runs").prepare().config
    trial = trial_config(
        config, 0, Choice(norm_map={"*": "BN"}, learning_rate=0.05, batch_size=2), None
    )
    nothing = Split((), (), ())

    def scores(folder: str) -> list[float]:
        return [record["score"] for record in train_own(trial, nothing, tmp_path / folder)]

    begun = train_own(trial, nothing, tmp_path / "halves")
    next(begun)
    next(begun)
    del begun
    assert scores("halves") == pytest.approx(scores("whole"), abs=1e-6)


def test_an_optuna_study_chooses_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    study = example("optuna_loop", monkeypatch).search(trials=3)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert set(study.trials[0].params) == {"norm.1", "norm.4", "norm.7", "learning_rate"}
