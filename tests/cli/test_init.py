"""`normsearch init`: what it prints, and what validate and run make of the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from normsearch.trials import trial_time

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_time, "_STEPS", 2)


def test_the_study_is_valid_and_runs(normsearch: Call, data_set: Path) -> None:
    told = normsearch("init", "squares", "--data", data_set, "--name", "mine")
    assert told.code == 0
    assert told.out.startswith("mine.yaml: about ")
    assert f"normsearch run mine.yaml --data {data_set}" in told.out
    valid = normsearch("validate", "mine.yaml", "--data", data_set)
    assert valid.code == 0
    assert valid.out.startswith("mine.yaml: valid; ")
    quick = ["training.samples=10", "search.trials=1", "space.norm.choices=[IN]"]
    words = [word for text in quick for word in ("--set", text)]
    ran = normsearch("run", "mine.yaml", "--data", data_set, "--local", *words)
    assert ran.code == 0
    assert "Best validation Dice" in ran.out


def test_what_it_refuses(normsearch: Call, data_set: Path) -> None:
    Path("mine.yaml").write_text("mine")
    words = ["init", data_set / "squares", "--name", "mine"]
    refused = normsearch(*words)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("normsearch: mine.yaml: must not exist, and does; ")
    few = normsearch(*words, "--force", "--minutes", 1e-9)
    assert few.code == 1
    assert "--minutes: must be at least" in few.err
    assert Path("mine.yaml").read_text() == "mine"
    assert normsearch("init", "no-such-set").code == 1
    assert normsearch("init", "squares", "--minutes", "ten").code == 2


def test_json(normsearch: Call, data_set: Path) -> None:
    told = normsearch("init", data_set / "squares", "--name", "mine", "-o", "other.yaml", "--json")
    found = json.loads(told.out)
    assert (found["file"], found["study"], found["trials"]) == ("other.yaml", "mine", 24)
    assert found["minutes"] > 0
