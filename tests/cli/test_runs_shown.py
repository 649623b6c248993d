"""The table of runs, suggestions for misspelt names, and the next commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import optuna
import pytest
import yaml

from normsearch.cli.running import _exporting
from normsearch.cli.status import status_of
from normsearch.storage.opening import open_storage
from normsearch.storage.records import StudyRecord
from tests.made_up_confirmation import SEARCH, changed

from .conftest import Outcome

if TYPE_CHECKING:
    from normsearch.study import Study

Call = Callable[..., Outcome]


@pytest.fixture
def finished(normsearch: Call, study_file: Path, data_set: Path) -> Outcome:
    """Return the outcome of a local run of two trials called tiny."""
    sets = ["--set", "search.trials=2"]
    return normsearch("run", study_file, "--data", data_set, "--local", *sets)


@pytest.mark.parametrize("verb", [(), ("status",), ("list", "runs")], ids=" ".join)
def test_an_empty_folder_says_what_to_do(normsearch: Call, verb: tuple[str, ...]) -> None:
    shown = normsearch(*verb)
    assert shown.code == 0
    assert "runs" in shown.out
    assert "normsearch run quickstart" in shown.out.splitlines()[0]
    assert not Path("runs").exists()


def test_the_runs_there_are(finished: Outcome, normsearch: Call) -> None:
    broken = Path("runs/broken")
    broken.mkdir()
    (broken / "study.yaml").write_text("name: [")
    for verb in [(), ("status",), ("list", "runs")]:
        shown = normsearch(*verb)
        assert shown.code == 0
        assert "2 of 2" in shown.out
        assert "Dice 0." in shown.out
        assert "runs/broken/study.yaml" in shown.out  # where it is broken
    for verb in [("status",), ("list", "runs")]:
        found = json.loads(normsearch(*verb, "--json").out)
        assert set(found) == {"tiny", "broken"}
        best = json.loads(normsearch("best", "tiny", "--json").out)
        tiny = found["tiny"]
        assert (tiny["done"], tiny["asked"], tiny["metric"]) == (2, 2, "Dice")
        assert (tiny["best"], tiny["trial"]) == (best["score"], best["number"])
        age = datetime.now(UTC) - datetime.fromisoformat(tiny["changed"])
        assert 0 <= age.total_seconds() + 1 < 3600
        assert "runs/broken/study.yaml" in found["broken"]["fault"]


@pytest.mark.parametrize(("trainer", "proposed"), [(None, True), ("my_loop:train", False)])
def test_only_our_own_training_is_to_be_exported(trainer: str | None, proposed: bool) -> None:
    study = cast("Study", SimpleNamespace(config=SimpleNamespace(trainer=trainer)))
    assert bool(_exporting(study, "tiny -o model", "the trained network")) is proposed


def test_status_of_an_interrupted_run_says_how_to_resume_it(
    finished: Outcome, normsearch: Call
) -> None:
    assert "resume" not in normsearch("status", "tiny").out
    optuna.load_study(study_name="tiny", storage=open_storage(Path("runs/tiny"), None)).ask()
    assert "Resume with: normsearch resume tiny\n" in normsearch("status", "tiny").out


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({"search__stop": {"gain": 0.9, "after": 5}}, "is expected to gain"),
        ({"search__trials": None, "search__samples": 540}, "search.samples (540)."),
        ({"search__trials": 6}, None),
    ],
)
def test_status_of_a_search_that_has_ended_has_no_waiting_trials(
    limit: dict[str, Any], why: str | None, made_up: Callable[..., StudyRecord]
) -> None:
    points = [{"norm": {"*": "IN", "enc1.*": "BN"}, "learning_rate": 0.02 + i / 100,
               "batch_size": 2} for i in range(6)]  # fmt: skip
    record = made_up(changed(SEARCH, search__points=points, **limit), lambda _: {"v": 0.5})
    kept = record.trials()
    waiting = int((kept["state"] == "WAITING").sum())
    assert waiting > 0
    found = status_of(record)
    assert found["ended"]
    assert found["states"]["WAITING"] == 0
    assert [row["number"] for row in found["trials"]] == list(range(len(kept) - waiting))
    *before, last = found["budget"]
    assert last.startswith(f"Not started when the search ended: {waiting} enqueued trials;")
    assert len(before) == (why is not None)
    assert all(f"The search ended after {len(found['trials'])} trials: " in one for one in before)
    assert all(str(why) in one for one in before)


def test_status_without_a_name_takes_no_option_of_one_run(normsearch: Call) -> None:
    assert normsearch("status", "--watch").code == 2


def test_the_next_steps_of_a_search_are_commands_that_work(
    finished: Outcome, normsearch: Call, study_file: Path, data_set: Path
) -> None:
    steps = [line.split("#")[0].split() for line in finished.out.splitlines() if "  #" in line]
    assert [step[1] for step in steps] == ["best", "confirm", "report", "export"]
    for _, verb, *arguments in steps:
        assert verb == "confirm" or normsearch(verb, *arguments).code == 0


def test_the_next_steps_name_a_folder_that_is_not_the_usual_one(
    normsearch: Call, study_file: Path, data_set: Path
) -> None:
    raw = yaml.safe_load(study_file.read_text())
    raw["task"].pop("test_folds", None)
    study_file.write_text(yaml.safe_dump(raw))
    more = ["--runs-dir", "other place", "--set", "search.trials=1"]
    ended = normsearch("run", study_file, "--data", data_set, "--local", *more)
    assert "normsearch report 'other place/tiny'" in ended.out
    assert "normsearch confirm" not in ended.out  # no subjects are held out


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (["status", "tinny"], "tiny"),
        (["confirm", "tinny"], "tiny"),
        (["plot", "layer_preferance", "tiny"], "layer_preference"),
        (["plot", "al", "tiny"], "all"),
        (["run", "quickstrat"], "quickstart"),
        (["run", "quickstart", "--set", "space=per_layr"], "per_layer"),
        (["run", "quickstart", "--set", "space.norm.choices=[BN, INN]"], "IN"),
        (["run", "quickstart", "--set", "search.sampler=tpee"], "tpe"),
        (["run", "quickstart", "--set", "search.pruner=hyperbandd"], "hyperband"),
        (["run", "quickstart", "--set", "network.name=unet2"], "unet2d"),
        (["run", "quickstart", "--set", "network.activation=leaky_relo"], "leaky_relu"),
        (["run", "quickstart", "--set", "task.layout=nnunett"], "nnunet"),
        (["run", "quickstart", "--set", "training.loss=bce_dic"], "bce_dice"),
        (["reproduce", "S11"], "S1"),
        (["reproduce", "S1", "--scale", "toyy"], "toy"),
        (["list", "normz"], "norms"),
        (["list", "run"], "runs"),
        (["confrim", "tiny"], "confirm"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_near_misses_are_suggested(normsearch: Call, command: list[str], meant: str) -> None:
    folder = Path("runs/tiny")
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text("name: tiny\n")
    refused = normsearch(*command)
    assert refused.code in (1, 2)
    assert f"Did you mean '{meant}'?" in refused.err
