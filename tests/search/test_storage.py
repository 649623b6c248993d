"""Opening a storage, and calls that outlast a fault of it."""

from pathlib import Path

import optuna
import pytest

from normsearch.errors import StudyError
from normsearch.search import storage
from normsearch.search.storage import open_storage, retrying


def test_a_storage_that_cannot_be_opened_is_one_sentence_without_the_url(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--storage: must be a storage Optuna can open") as caught:
        open_storage(tmp_path, "nonsense://user:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_storage_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    answers = iter([OSError("gone"), optuna.exceptions.StorageInternalError("gone"), "there"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(call) == "there"
    assert pauses == [0.1, 0.3]


def test_a_storage_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)

    def call() -> None:
        raise OSError("gone for good")

    with pytest.raises(OSError, match="gone for good"):
        retrying(call)
