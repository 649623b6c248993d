"""The Optuna storage of a run: a journal file in its folder, or a database by URL."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from normsearch.errors import StudyError
from normsearch.search.journal import CrashSafeJournal

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """Open the storage at `url` (SQLAlchemy's form), or FOLDER/journal.log if there is none.

    Raises:
        StudyError: the database cannot be opened, or the journal cannot be read.
    """
    try:
        if url is None:
            return JournalStorage(CrashSafeJournal(folder / "journal.log"))
        return RDBStorage(url)
    except (OSError, ValueError, ImportError, optuna.exceptions.StorageInternalError) as error:
        # An URL may hold a password, so it is not repeated here.
        where = "--storage" if url else str(folder / "journal.log")
        raise StudyError(f"{where}: must be a storage Optuna can open: {error}") from error
