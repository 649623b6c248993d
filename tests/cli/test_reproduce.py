"""`normsearch reproduce` and `list findings`, with an experiment of a few seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Outcome

Call = Callable[..., Outcome]
TASK = {"data": "squares", "test_folds": [3]}
TINY: dict[str, Any] = {
    "name": "tiny",
    "source": "made up",
    "common": {
        "network": {"first_channels": 4, "depth": 1},
        "training": {"samples": 16, "evaluations": 2},
    },
    "studies": {
        "rates": {
            "task": {**TASK, "validation_folds": [2]},
            "grid": {"norm": ["none", "IN"], "learning_rate": [0.1, 0.01], "batch_size": 2},
        },
        "final": {
            "task": {**TASK, "validation": "test"},
            "rates_from": "rates",
            "grid": {"norm": ["none", "IN"], "batch_size": 2},
            "seeds": 2,
        },
        "search": {
            "task": {**TASK, "validation_folds": [2]},
            "space": {"norm": {"choices": ["IN", "BN"]}, "learning_rate": 0.1, "batch_size": 2},
            "search": {"trials": 2, "baselines": False},
        },
        "found": {
            "task": {**TASK, "validation": "test"},
            "found": {"mixture": {"part": "search", "take": "best"}},
            "grid": {"norm": ["none"], "learning_rate": 0.1, "batch_size": 2},
            "seeds": 2,
        },
    },
    "scales": {"toy": {}, "small": {}, "paper": {}},
    "statements": {
        "T1": {
            "text": "IN beats none.", "metric": "Dice", "direction": "higher", "paper": "none .5",
            "judge": "beats", "arguments": {"part": "final", "arms": ["IN"], "than": "none"},
        },
        "T2": {
            "text": "A mixture beats none.", "metric": "Dice", "direction": "higher", "paper": "-",
            "judge": "beats", "arguments": {"part": "found", "arms": ["mixture"], "than": "none"},
        },
    },
}  # fmt: skip


@pytest.fixture
def experiment(normsearch: Call) -> Path:
    """Return the file of an experiment that lies in the working folder's own studies."""
    path = Path("studies/findings/tiny.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(json.loads(json.dumps(TINY)), sort_keys=False))
    return path


def test_a_finding_is_run_judged_written_and_listed(
    normsearch: Call, experiment: Path, data_set: Path
) -> None:
    given = ["--data", data_set, "--local"]
    first = normsearch("reproduce", "t1", *given)
    assert first.code == 0, first.err
    assert first.out.startswith("T1: IN beats none.\n")
    assert "Published: none .5" in first.out
    result = json.loads(Path("results/T1-toy.json").read_text())
    assert (result["trainings"], result["seeds"]) == (4, 2)
    assert len(result["sha256"]) == 64
    assert list(result["data"]) == ["squares"]
    assert {name.split("-")[3] for name in result["runs"]} == {"rates", "final"}

    again = normsearch("reproduce", "T1", *given, "--json")
    assert "finding-tiny" not in again.err  # what is finished is not run again
    assert json.loads(again.out)["estimate"] == result["estimate"]

    listed = json.loads(normsearch("list", "findings", "--json").out)
    assert listed["T1"] == f"{result['verdict']} (toy): IN beats none."
    assert listed["T2"] == "no result yet: A mixture beats none."
    assert "S1" in listed


def test_what_a_search_found_is_trained_again(
    normsearch: Call, experiment: Path, data_set: Path
) -> None:
    found = normsearch("reproduce", "T2", "--data", data_set, "--local", "--json")
    assert found.code == 0, found.err
    result = json.loads(found.out)
    assert {row["arm"] for row in result["table"] if "arm" in row} == {"none", "mixture"}
    runs = [path.name for path in Path("runs").iterdir()]
    assert len(runs) == 2


def test_another_output_folder_and_a_changed_experiment(
    normsearch: Call, experiment: Path, data_set: Path
) -> None:
    given = ["--data", data_set, "--local", "--json"]
    before = json.loads(normsearch("reproduce", "T1", *given, "--output", "kept").out)
    raw = yaml.safe_load(experiment.read_text())
    raw["studies"]["final"]["seeds"] = 3
    experiment.write_text(yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False))
    after = json.loads(normsearch("reproduce", "T1", *given, "--output", "kept").out)
    assert before["sha256"] != after["sha256"]
    assert before["runs"][0] == after["runs"][0]  # the rates were not tried again
    assert before["runs"][1] != after["runs"][1]
    assert json.loads(Path("kept/T1-toy.json").read_text())["seeds"] == 3


def test_an_unknown_finding_is_told(normsearch: Call) -> None:
    found = normsearch("reproduce", "S77")
    assert found.code == 1
    assert "finding: must be one of " in found.err
    assert "got 'S77'" in found.err
