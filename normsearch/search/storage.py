"""The Optuna storage of a run: a journal file or a database by URL; calls that outlast a fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from normsearch.errors import StudyError
from normsearch.search.journal import CrashSafeJournal

optuna.logging.set_verbosity(optuna.logging.WARNING)

P = ParamSpec("P")
R = TypeVar("R")

_RETRY_S = (0.1, 0.3, 1, 3, 10, 20, 30)


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """Open the storage at `url` (SQLAlchemy's form), or FOLDER/journal.log if there is none.

    Raises:
        StudyError: the database cannot be opened, or the journal cannot be read.
    """
    try:
        if url is None:
            return JournalStorage(CrashSafeJournal(folder / "journal.log"))
        return RDBStorage(url)
    except (OSError, ValueError, ImportError, StorageInternalError, SQLAlchemyError) as error:
        # An URL may hold a password, so it is not repeated here.
        where = "--storage" if url else str(folder / "journal.log")
        raise StudyError(f"{where}: must be a storage Optuna can open: {error}") from error


def retrying(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``call(...)``, trying again for about a minute while the storage fails.

    Raises:
        StorageInternalError, OSError: the last failure, after the last try.
    """
    for pause in _RETRY_S:
        try:
            return call(*args, **kwargs)
        except (OSError, StorageInternalError):
            time.sleep(pause)
    return call(*args, **kwargs)
