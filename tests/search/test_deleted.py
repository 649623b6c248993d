"""Folders deleted during a run: an immediate error, or the trial restarts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from normsearch.config import Resources, TrialConfig
from normsearch.errors import GoneError
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local
from normsearch.search.ray_executor import run_ray
from normsearch.search.trial_faults import MAX_DELETIONS
from normsearch.trials.training import check_owner
from tests.cli.test_interrupt import LIMIT_S, wait_for
from tests.cli.test_running import driver
from tests.made_up_search import trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]


def delete(folder: Path) -> None:
    """Delete a folder in which another process may be writing: moved away first, then emptied."""
    gone = folder.rename(mkdtemp(dir=folder.parents[1]))
    shutil.rmtree(gone, ignore_errors=True)


def deleting(times: int) -> Callable[..., Iterator[dict[str, Any]]]:
    """Return a trainer in which trial 1's folder is deleted so many times, at its evaluation 3."""

    def train(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
        log = folder.parents[1] / "deleted"
        for entry in trainer(config, data, folder, token):
            gone = len(log.read_text()) if log.exists() else 0
            if (config.number, entry["evaluation"]) == (1, 3) and gone < times:
                log.write_text("x" * (gone + 1))
                delete(folder)
            check_owner(folder, token)
            yield entry

    return train


def run(how: str, coordinator: Coordinator, train: Callable[..., Any]) -> None:
    if how == "local":
        run_local(coordinator, None, train)
    else:
        run_ray(coordinator, None, train, resources=Resources(), workers=1)


@pytest.mark.parametrize("how", ["local", pytest.param("ray", marks=pytest.mark.slow)])
@pytest.mark.parametrize("times", [1, MAX_DELETIONS + 1])
def test_a_trial_whose_folder_is_deleted_starts_anew_a_few_times(
    study: Maker, tmp_path: Path, how: str, times: int
) -> None:
    events: list[Event] = []
    run(how, study(trials=4, listener=events.append), deleting(times))
    trial = stored(tmp_path / "run").trials[1]
    told = Counter(event.record.get("reason") for event in events)
    assert told["since its folder was deleted"] == min(times, MAX_DELETIONS)
    failure = "its folder was deleted 4 times" if times > MAX_DELETIONS else None
    assert trial.user_attrs.get("failure") == failure
    assert all(trial.state.is_finished() for trial in stored(tmp_path / "run").trials)


@pytest.mark.parametrize("how", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_deleted_run_ends_its_driver_at_once(study: Maker, tmp_path: Path, how: str) -> None:
    def train(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
        import time

        yield next(trainer(config, data, folder, token))
        delete(folder.parents[1])
        time.sleep(600)

    with pytest.raises(GoneError, match=r"run/leases\.log: must stay .* was deleted"):
        run(how, study(trials=4), train)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", ["--local", pytest.param("--workers=1", marks=pytest.mark.slow)])
def test_the_command_line_says_one_sentence_and_exits_with_1(
    study_file: Path,
    data_set: Path,
    tmp_path: Path,
    how: str,
) -> None:
    log, runs = tmp_path / "stderr.txt", tmp_path / "runs"
    endless = ["--data", data_set, how, "--set", "search.trials=5000", "--runs-dir", runs]
    with driver(log, "run", study_file, *endless) as process:
        wait_for(lambda: "trial 1" in log.read_text(), process, log)
        delete(runs / "tiny")
        assert process.wait(timeout=LIMIT_S) == 1, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("normsearch: ")
    assert "was deleted" in said.splitlines()[-1]
    assert not (runs / "tiny").exists()
