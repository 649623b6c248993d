"""Spaces in Python: the user's function gets the trial, and its choice is checked."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from normsearch.config import Point, PythonSpaceConfig
from normsearch.config.reading import read_trial, validate
from normsearch.errors import ConfigError
from normsearch.networks import NormSlot, UNet2d, list_norms
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.space.python_space import PythonSpace
from tests.made_up_search import trainer

SLOTS = list_norms(UNet2d(first_channels=8, depth=1, seed=0))
HERE = __name__


def deeper_is_coarser(trial: optuna.Trial, slots: Sequence[NormSlot]) -> dict[str, Any]:
    """IN above a depth that is chosen, and a GN whose groups are chosen below it."""
    depth = trial.suggest_int("depth", 0, len(slots))
    norm = {slot.name: "IN" for slot in slots[:depth]}
    if depth < len(slots):
        groups = trial.suggest_categorical("groups", [2, 4])
        norm |= {slot.name: f"GN-{groups}" for slot in slots[depth:]}
    rate = trial.suggest_float("rate", 0.01, 0.1, log=True)
    return {"norm": norm, "learning_rate": rate, "batch_size": 2, "affine": depth > 1}


def without_rate(trial: Any, slots: Any) -> dict[str, Any]:
    return {"norm": {"*": "IN"}, "batch_size": 2}


def half(trial: Any, slots: Any) -> dict[str, Any]:
    return {"norm": {"enc*": "IN"}, "learning_rate": 0.1, "batch_size": 2}


def misspelt(trial: Any, slots: Any) -> dict[str, Any]:
    return {"norms": {"*": "IN"}}


NO_FUNCTION = 3


def space(name: str) -> PythonSpace:
    return PythonSpace(PythonSpaceConfig(function=f"{HERE}:{name}"), SLOTS, "s.yaml: space.")


def test_the_function_asks_and_its_answer_is_the_choice() -> None:
    found = space("deeper_is_coarser")
    asked = {"depth": 2, "groups": 4, "rate": 0.05}
    choice = found.suggest(optuna.trial.FixedTrial(asked))  # type: ignore[arg-type]
    assert list(choice.norm_map) == [slot.name for slot in SLOTS]
    assert list(choice.norm_map.values()) == ["IN", "IN", *["GN-4"] * (len(SLOTS) - 2)]
    assert choice.values == {"learning_rate": 0.05, "batch_size": 2, "affine": True}
    assert (found.size, dict(found.single_norms), found.unseen([])) == (None, {}, None)


def test_a_study_over_it(study: Callable[..., Coordinator], tmp_path: Path) -> None:
    coordinator = study(trials=8, space={"function": f"{HERE}:deeper_is_coarser"})
    run_local(coordinator, None, trainer)
    for number in range(8):
        config = read_trial(tmp_path / "run" / "trials" / f"{number:04d}" / "trial.json")
        assert 0.01 <= config.learning_rate <= 0.1
        assert set(config.norm_map.values()) <= {"IN", "GN-2", "GN-4"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", rf".*must name something in {HERE}, got 'nothing'"),
        ("NO_FUNCTION", "must be a function, got 3"),
        ("without_rate", "must return a complete choice, and learning_rate is missing"),
        ("half", r"must return a complete choice, and bottom\.conv1\.norm is missing"),
        ("misspelt", r"must return a choice: norms: unknown key, .*norm.*\(1 more error\.\)"),
    ],
)
def test_faults(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^s\.yaml: space\.function: {message}"):
        space(name)


def test_modules_of_the_working_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_space_of_mine.py").write_text(
        "def ask(trial, slots):\n"
        "    return {'norm': {'*': 'LN'}, 'learning_rate': 0.1, 'batch_size': 1}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path.copy())
    found = PythonSpace(PythonSpaceConfig(function="own_space_of_mine:ask"), SLOTS, "")
    trial = optuna.create_study().ask()
    assert set(found.suggest(trial).norm_map.values()) == {"LN"}


def test_no_known_points() -> None:
    with pytest.raises(ConfigError, match=re.escape("points: known configurations need a space")):
        space("deeper_is_coarser").parameters(Point(norm={"*": "IN"}))


def test_the_form_of_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^s\.yaml: function: must be an import path such as"):
        validate(PythonSpaceConfig, {"function": "no path"}, "s.yaml")
