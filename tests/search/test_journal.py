"""A journal whose last line was torn stays readable and writable."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from normsearch.search.journal import CrashSafeJournal

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
    study = optuna.create_study(storage=JournalStorage(CrashSafeJournal(path)), study_name="s")
    study.ask()
    path.write_bytes(path.read_bytes() + TORN)
    again = optuna.load_study(study_name="s", storage=JournalStorage(CrashSafeJournal(path)))
    assert len(again.trials) == 1
    again.ask()
    again.ask()
    assert TORN not in path.read_bytes()
    plain = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [trial.number for trial in plain.trials] == [0, 1, 2]


def test_a_first_line_torn_leaves_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(TORN)
    journal = CrashSafeJournal(path)
    journal.append_logs([{"a": 1}, {"b": 2}])
    assert list(journal.read_logs(0)) == [{"a": 1}, {"b": 2}]
