"""Opening of a storage, and calls that are retried until it answers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import get_storage
from optuna.storages._grpc.server import make_server

from normsearch.errors import StudyError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.opening import lock_for_driver, open_storage, retrying
from tests.made_up_search import EVALUATIONS, record, trainer
from tests.postgres import server

Maker = Callable[..., Coordinator]


def test_a_storage_that_cannot_be_opened_is_one_sentence_without_the_url(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--storage: must be a storage Optuna can open") as caught:
        open_storage(tmp_path, "nonsense://user:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_storage_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    answers = iter([OSError("gone"), optuna.exceptions.StorageInternalError("gone"), "there"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(call) == "there"
    assert pauses == [0.1, 0.3]


def test_a_storage_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def call() -> None:
        raise OSError("gone for good")

    with pytest.raises(StudyError, match=r"did not for 124 s \(OSError: gone for good\); nothing"):
        retrying(call)


def test_a_users_mistake_is_not_tried_again() -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise StudyError("a mistake")

    with pytest.raises(StudyError, match="a mistake"):
        retrying(call)
    assert len(calls) == 1


def test_the_second_driver_of_a_sqlite_study_is_refused(study: Maker, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    one = study(storage_url=url)
    refusal = (
        r"--storage: a SQLite database must have one driver at a time, and .*study\.db has one"
    )
    with pytest.raises(StudyError, match=refusal) as caught:
        study(storage_url=url)
    assert "\n" not in str(caught.value)
    optuna.load_study(study_name=None, storage=open_storage(tmp_path, url))  # readers may
    one.close()
    study(storage_url=url).close()


def test_the_lock_of_a_killed_sqlite_driver_is_free_though_its_child_lives(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    code = (
        "import subprocess, sys, time\n"
        "from normsearch.storage.opening import lock_for_driver\n"
        "lock = lock_for_driver(sys.argv[1])\n"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        try:
            with pytest.raises(StudyError, match="one driver at a time"):
                lock_for_driver(url)
            driver.kill()
            driver.wait()
            lock = lock_for_driver(url)
            assert lock is not None
            lock.close()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("url", [None, "sqlite://", "postgresql+psycopg://u@h/d", "grpc://h:1"])
def test_other_storages_need_no_lock(url: str | None) -> None:
    assert lock_for_driver(url) is None


@pytest.mark.parametrize("url", ["grpc://host", "grpc://:13000", "grpc://host:port"])
def test_a_proxy_address_must_be_whole(url: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the proxy's address must be grpc://HOST:PORT"):
        open_storage(tmp_path, url)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyError, match=r"needs psycopg, .*pip install 'normsearch\[postgres\]'"):
        open_storage(tmp_path, "postgresql://user@127.0.0.1:1/db")


def test_postgresql_keeps_the_story_over_a_crash_of_the_server(study: Maker) -> None:
    with server() as postgres:
        first = study(trials=5, storage_url=postgres.url)
        job = first.next_job()
        assert job is not None
        first.report(0, record(job.config, 1))
        postgres.stop()
        back = threading.Timer(1.5, postgres.start)
        back.start()
        first.report(0, record(job.config, 2))  # waits for the server
        back.join()
        first.close()
        plain = postgres.url.replace("+psycopg", "")
        run_local(study(trials=5, storage_url=plain), None, trainer)
        found = optuna.load_study(study_name="made-up", storage=postgres.url).trials
        assert len(found) == 5
        assert all(trial.state.is_finished() for trial in found)
        assert found[0].user_attrs["resumes"] == 1
        assert found[0].intermediate_values.keys() == set(range(1, EVALUATIONS + 1))


def test_the_proxy_in_front_of_a_database(study: Maker, tmp_path: Path) -> None:
    storage_url = f"sqlite:///{tmp_path}/behind.db"
    service = make_server(get_storage(storage_url), "127.0.0.1", 0)
    port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    try:
        run_local(study(trials=5, storage_url=f"grpc://127.0.0.1:{port}"), None, trainer)
    finally:
        service.stop(None).wait()
    states = [
        trial.state for trial in optuna.load_study(study_name=None, storage=storage_url).trials
    ]
    assert len(states) == 5
    assert all(state.is_finished() for state in states)
