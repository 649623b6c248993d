"""A journal with an incomplete last line can still be read and written."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from normsearch.errors import StudyError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.journal import SkimmedJournal, StudyJournal
from tests.made_up_search import trainer

TORN = b'{"op_code":5,"worker_id":"x","tri'


def test_optuna_alone_loses_the_log_after_a_torn_line(tmp_path: Path) -> None:
    """The fault this class exists for; if this test fails, Optuna has mended it."""
    path = tmp_path / "journal.log"
    path.write_bytes(TORN)
    backend = JournalFileBackend(str(path))
    backend.append_logs([{"a": 1}, {"b": 2}])
    with pytest.raises(json.JSONDecodeError):
        list(backend.read_logs(0))


def test_torn_line_is_cut_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=JournalStorage(StudyJournal(path)), study_name="s")
    study.ask()
    path.write_bytes(path.read_bytes() + TORN)
    again = optuna.load_study(study_name="s", storage=JournalStorage(StudyJournal(path)))
    assert len(again.trials) == 1
    again.ask()
    again.ask()
    assert TORN not in path.read_bytes()
    plain = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [trial.number for trial in plain.trials] == [0, 1, 2]


def test_a_first_line_torn_leaves_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(TORN)
    study = optuna.create_study(storage=JournalStorage(StudyJournal(path)), study_name="s")
    assert len(study.trials) == 0
    assert TORN not in path.read_bytes()


def test_what_is_left_out_changes_no_outcome(
    study: Callable[..., Coordinator], tmp_path: Path
) -> None:
    coordinator = study(trials=12)
    coordinator.next_job()
    coordinator.finish(0, TrialState.FAIL, reason="memory: does not suffice")
    run_local(coordinator, None, trainer)
    path = tmp_path / "run" / "journal.log"
    whole = optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(path)))
    )
    journal = SkimmedJournal(path)
    skimmed = optuna.load_study(study_name=None, storage=JournalStorage(journal))
    kept = [json.dumps(entry) for entry in SkimmedJournal(path).read_logs(0)]
    assert sum(map(len, kept)) < 0.7 * path.stat().st_size
    for one, other in zip(whole.trials, skimmed.trials, strict=True):
        assert (one.number, one.state, one.values) == (other.number, other.state, other.values)
        assert one.intermediate_values == other.intermediate_values
        attributes = {name: one.user_attrs[name] for name in one.user_attrs if name != "norm_map"}
        assert attributes == other.user_attrs
        assert other.params == {}
    again = study(trials=13)  # what comes later is seen too, also by one that looked before
    run_local(again, None, trainer)
    assert len(skimmed.trials) == 13


def test_an_entry_of_a_study_or_trial_that_does_not_exist_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    storage = JournalStorage(StudyJournal(path))
    study = optuna.create_study(storage=storage, study_name="s")
    study.ask()
    before = path.read_bytes()
    for call in (
        lambda: storage.create_new_trial(1),
        lambda: storage.set_study_user_attr(1, "a", "b"),
        lambda: storage.set_trial_user_attr(1, "a", "b"),
    ):
        with pytest.raises(KeyError, match=r"a new entry is of (a study|trial 1)"):
            call()
    assert path.read_bytes() == before
    study.ask()
    again = optuna.load_study(study_name="s", storage=JournalStorage(StudyJournal(path)))
    assert len(again.trials) == 2


def test_where_the_line_that_creates_a_study_is_damaged_no_entry_follows(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    optuna.create_study(storage=JournalStorage(StudyJournal(path)), study_name="s")
    path.write_bytes(path.read_bytes().replace(b'"study_name":"s"', b'"study_name":"z"'))
    entry = {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"a": "b"}}
    before = path.read_bytes()
    with (
        pytest.warns(UserWarning, match="line 1 must be an entry, and is damaged"),
        pytest.raises(StudyError, match=r"line 2 is of a study .* \(damaged: line 1\); restore"),
    ):
        StudyJournal(path).append_logs([entry])
    assert path.read_bytes() == before
