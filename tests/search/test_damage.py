"""A run with a damaged journal or lease log can be resumed, or raises one typed error."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from optuna.trial import TrialState

from normsearch.errors import NormsearchError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage import leases
from normsearch.storage.leases import Leases
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from tests.made_up_search import EVALUATIONS, record, trainer
from tests.search.damage import mutated

Maker = Callable[..., Coordinator]
TRIALS = 4
SPACE = {
    "norm": {"choices": ["BN", "IN"], "per": "network"},
    "learning_rate": {"low": 0.01, "high": 0.1},
    "batch_size": [2, 4],
}


def small(study: Maker) -> Coordinator:
    return study(trials=TRIALS, space=SPACE)


@pytest.fixture
def interrupted(study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run with two trials finished and one interrupted, and a copy of it."""
    monkeypatch.setattr(leases, "LEASE_S", 0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "process_start", lambda pid: "0")  # it will be dead
        first = small(study)
        first.leases._register()
    write_study(tmp_path / "run", first.config)
    for _ in range(2):
        job = first.next_job()
        assert job is not None
        for entry in trainer(job.config, None, job.folder, job.token):
            first.report(job.config.number, entry)
        first.finish(job.config.number, TrialState.COMPLETE)
    job = first.next_job()
    assert job is not None
    first.report(job.config.number, record(job.config, 1))
    first.close()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    return tmp_path / "copy"


def read_all(folder: Path) -> None:
    """Read what `status`, `best` and the figures do."""
    for skim in (False, True):
        found = StudyRecord(folder, skim=skim)
        found.trials(), found.history(), found.ranked(), found.pareto_front(), found.shares()
        found.best_single_norms()
    glance = Leases(folder / "leases.log", glance=True)
    for number in range(TRIALS):
        glance.holder(number)


def damage_and_go_on(study: Maker, copy: Path, name: str, seeds: range) -> tuple[int, int]:
    """Return how many damaged runs ended right, and how many in a typed error."""
    run, right, refused = copy.parent / "run", 0, 0
    whole = (copy / name).read_bytes()
    for seed in seeds:
        shutil.rmtree(run)
        shutil.copytree(copy, run)
        (run / name).write_bytes(mutated(whole, Random(seed)))
        try:
            read_all(run)
        except NormsearchError as error:
            assert "\n" not in str(error)  # noqa: PT017
        except Exception as error:
            raise AssertionError(f"seed {seed}: reading") from error
        try:
            coordinator = small(study)
            run_local(coordinator, None, trainer)
        except NormsearchError as error:
            assert "journal.log" in str(error)  # noqa: PT017
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: going on") from error
        assert coordinator.done
        states = [state for _, state, _ in coordinator.states()]
        assert len(states) - states.count("DUPLICATE") == TRIALS, (seed, states)
        assert set(states) <= {"COMPLETE", "PRUNED", "FAIL", "DUPLICATE"}
        read_all(run)
        right += 1
    return right, refused


@pytest.mark.filterwarnings("ignore:.*must be an entry, and is damaged")
@pytest.mark.parametrize("name", ["journal.log", "leases.log"])
def test_sixty_faults_a_file(study: Maker, interrupted: Path, name: str) -> None:
    right, refused = damage_and_go_on(study, interrupted, name, range(60))
    assert right > 24
    assert refused if name == "journal.log" else not refused


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:.*must be an entry, and is damaged")
@pytest.mark.parametrize("name", ["journal.log", "leases.log"])
def test_a_thousand_faults_a_file(study: Maker, interrupted: Path, name: str) -> None:
    right, _ = damage_and_go_on(study, interrupted, name, range(1000, 2000))
    assert right > 400


def test_what_is_left_out_is_told_with_its_line(study: Maker, interrupted: Path) -> None:
    path = interrupted.parent / "run" / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    at = max(i for i, line in enumerate(lines) if b"intermediate_value" in line)
    lines[at] = bytes(20) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.warns(UserWarning, match=rf"journal\.log: line {at + 1} must be an entry"):
        coordinator = small(study)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run_local(coordinator, None, trainer)
    assert [state for _, state, _ in coordinator.states()].count("COMPLETE") >= 3
    assert StudyRecord(path.parent).history()["number"].value_counts()[2] == EVALUATIONS


def test_a_lost_line_that_made_a_trial_is_refused(study: Maker, interrupted: Path) -> None:
    """All that follows would be said of the wrong trials."""
    path = interrupted.parent / "run" / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith(b'{"op_code":4,'))
    lines[at] = b"\n"
    path.write_bytes(b"".join(lines))
    with (
        pytest.warns(UserWarning, match=f"line {at + 1} "),
        pytest.raises(NormsearchError, match=rf"journal\.log: line {at + 2} .*line {at + 1}"),
    ):
        small(study)
