"""Optuna's published tests of a storage, on those that a run may have."""

import shutil
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from normsearch.storage.opening import open_storage


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file without studies; making its tables takes longer than a test."""
    folder = tmp_path_factory.mktemp("empty")
    open_storage(folder, f"sqlite:///{folder / 'study.db'}")
    return folder / "study.db"


class TestJournal(StorageTestCase):
    """The journal file of a run's folder."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        """Return one without studies."""
        return open_storage(tmp_path, None)


class TestSqlite(StorageTestCase):
    """A SQLite file by its URL."""

    @pytest.fixture
    def storage(self, tmp_path: Path, empty: Path) -> BaseStorage:
        """Return one without studies."""
        copy = shutil.copy(empty, tmp_path)
        return open_storage(tmp_path, f"sqlite:///{copy}")
