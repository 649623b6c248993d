"""The Optuna storage of a run: a journal file, or a database by URL; and retried calls."""

from __future__ import annotations

import sqlite3
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from normsearch.errors import NormsearchError, StudyError
from normsearch.storage.journal import SkimmedJournal, StudyJournal

optuna.logging.set_verbosity(optuna.logging.WARNING)

P = ParamSpec("P")
R = TypeVar("R")

_RETRY_S = (0.1, 0.3, 1, 3, 10, 20, 30, 30, 30)  # two minutes: twice as long as a restart takes
_OPEN_AGAIN_S = (0.3, 1, 3)  # two drivers may create the tables at once
_CONNECT_S = 10
_POSTGRES = ("psycopg", "grpc")  # what the extra of this name installs


def open_storage(folder: Path, url: str | None, *, skim: bool = False) -> BaseStorage:
    """Open the storage at `url`, or FOLDER/journal.log if there is none.

    Args:
        folder: the run's folder.
        url: SQLAlchemy's form (``sqlite:///FILE``, ``postgresql+psycopg://USER@HOST/DATABASE``), or
            ``grpc://HOST:PORT`` for Optuna's proxy in front of a database.
        skim: read outcomes only; see `SkimmedJournal`.

    Raises:
        StudyError: the database cannot be opened, or the journal cannot be read.
    """
    try:
        if url is None:
            journal = SkimmedJournal if skim else StudyJournal
            return JournalStorage(journal(folder / "journal.log"))
        return _open_proxy(url) if url.startswith("grpc://") else _open_database(url)
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        missing = (cause.name or "its driver").partition(".")[0]
        cure = "pip install " + ("'normsearch[postgres]'" if missing in _POSTGRES else missing)
        raise StudyError(f"--storage: needs {missing}, which is not installed; {cure}.") from error
    except (OSError, ValueError, StorageInternalError, SQLAlchemyError) as error:
        # A URL may hold a password, so it is not in the message.
        where = "--storage" if url else str(folder / "journal.log")
        reason = " ".join(str(error).split())
        raise StudyError(f"{where}: must be a storage Optuna can open: {reason}") from error


def _open_proxy(url: str) -> GrpcStorageProxy:
    import grpc  # noqa: F401  # its absence is told here, not by a half-made proxy

    host, colon, port = url.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError("the proxy's address must be grpc://HOST:PORT")
    with warnings.catch_warnings():  # "experimental", each time
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=int(port))
    proxy.wait_server_ready(timeout=_CONNECT_S)
    return proxy


def _open_database(url: str) -> RDBStorage:
    parsed = make_url(url)
    options: dict[str, Any] = {}
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        # A connection that a restart of the server cut is replaced before it is used.
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": _CONNECT_S}}
    full = parsed.render_as_string(hide_password=False)
    for pause in _OPEN_AGAIN_S:
        try:
            return RDBStorage(full, engine_kwargs=options)
        except ArgumentError:
            raise
        except (StorageInternalError, SQLAlchemyError):
            time.sleep(pause)
    return RDBStorage(full, engine_kwargs=options)


def refuse_taken(name: str, url: str | None) -> None:
    """Raise StudyError if a database holds a study of this name, or cannot be opened."""
    if url is None:
        return
    if name in retrying(lambda: optuna.get_all_study_names(open_storage(Path(), url))):
        raise StudyError(
            f"--storage: must hold no study called {name} before its run begins, and does, of "
            "another run; give a new name with --name, or resume that run in its own folder with "
            f"`normsearch resume {name}`."
        )


def lock_for_driver(url: str | None) -> sqlite3.Connection | None:
    """Lock a SQLite database for one driver; closing the connection unlocks it.

    The lock is SQLite's own, on a file next to the database. The operating system releases it
    when the process dies. Workers do not inherit it, and it does not block readers.

    Raises:
        StudyError: another driver has it.
    """
    if url is None or not url.startswith("sqlite"):
        return None
    database = make_url(url).database
    if not database or database == ":memory:":
        return None
    connection = sqlite3.connect(f"{database}.driver", timeout=0, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        connection.close()
        raise StudyError(
            f"--storage: a SQLite database must have one driver at a time, and {database} has one "
            "already; stop that one, or use the journal file or PostgreSQL for several drivers."
        ) from error
    return connection


def retrying(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``call(...)``, retried for about two minutes while the storage fails.

    The call must be idempotent: it may have succeeded before the fault.

    Raises:
        StudyError: the storage still fails; nothing of the run is lost.
    """
    for pause in _RETRY_S:
        try:
            return call(*args, **kwargs)
        except NormsearchError:
            raise
        except _faults():
            time.sleep(pause)
    try:
        return call(*args, **kwargs)
    except _faults() as error:
        reason = " ".join(str(error).split())
        raise StudyError(
            f"the study's storage must answer, and did not for {sum(_RETRY_S):.0f} s "
            f"({type(error).__name__}: {reason}); nothing is lost; when it is back, resume with "
            "`normsearch resume`."
        ) from error


def _faults() -> tuple[type[Exception], ...]:
    grpc = sys.modules.get("grpc")  # imported only if the proxy is used
    proxy = (grpc.RpcError,) if grpc else ()
    return (OSError, StorageInternalError, SQLAlchemyError, *proxy)
