"""Leases: one claimant wins, the dead lose what they hold, the living keep it."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from normsearch.search import leases
from normsearch.search.leases import Leases


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "leases.log"


def test_first_claim_wins_and_holds(log: Path) -> None:
    one, two = Leases(log), Leases(log)
    assert one.claim(3)
    assert not two.claim(3)
    assert two.holder(3) == one.owner
    assert two.claim(4)
    assert one.holder(5) is None


def test_released_trial_can_be_claimed_again_once(log: Path) -> None:
    one, two, three = Leases(log), Leases(log), Leases(log)
    assert one.claim(0)
    one.release(0)
    assert one.holder(0) is None
    assert two.claim(0)
    assert not three.claim(0)
    assert three.epoch(0) == 2


def test_release_by_another_changes_nothing(log: Path) -> None:
    one, two = Leases(log), Leases(log)
    assert one.claim(0)
    two.release(0)
    assert two.holder(0) == one.owner


def test_a_claim_decided_on_old_news_loses(log: Path) -> None:
    """Two claim the same epoch: the order of lines in the log decides, for everybody."""
    one, two = Leases(log), Leases(log)
    one._register()
    two._register()
    one._write(op="claim", trial=7, epoch=0)
    two._write(op="claim", trial=7, epoch=0)
    assert Leases(log).holder(7) == one.owner
    assert two.holder(7) == one.owner


def _claim_many(path: Path, count: int, won: "multiprocessing.Queue[list[int]]") -> None:
    mine = Leases(path)
    won.put([trial for trial in range(count) if mine.claim(trial)])
    time.sleep(60)  # alive until the test has looked: the dead lose what they hold


def test_many_processes_claim_and_each_trial_has_one_holder(log: Path) -> None:
    context = multiprocessing.get_context("spawn")
    won = context.Queue()
    processes = [context.Process(target=_claim_many, args=(log, 20, won)) for _ in range(3)]
    for process in processes:
        process.start()
    try:
        claimed = [trial for _ in processes for trial in won.get(timeout=60)]
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert sorted(claimed) == list(range(20))


def test_what_a_killed_process_holds_is_free_at_once(log: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from normsearch.search.leases import Leases\n"
        "lease = Leases(Path(sys.argv[1])); print(lease.claim(0), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(log)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    mine = Leases(log)
    assert not mine.claim(0)
    process.kill()
    # Not reaped yet: a zombie is dead too.
    psutil.wait_procs([psutil.Process(process.pid)], timeout=0.5)
    assert mine.claim(0)
    process.wait()
    process.stdout.close()


def test_a_recycled_pid_is_not_the_owner(log: Path) -> None:
    one = Leases(log)
    one._write(op="owner", host=leases._host(), pid=os.getpid(), started=1.0, time=time.time())
    one._registered = True
    assert one.claim(0)
    assert Leases(log).holder(0) is None


def test_an_owner_on_another_host_lives_by_its_beats(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Leases(log)
    one._write(op="owner", host="elsewhere:", pid=1, started=1.0, time=time.time())
    one._registered = True
    assert one.claim(0)
    other = Leases(log)
    assert other.holder(0) == one.owner
    now = time.time()
    monkeypatch.setattr(leases.time, "time", lambda: now + leases.EXPIRY_S + 1)
    assert other.holder(0) is None
    one._write(op="beat", time=now + leases.EXPIRY_S)
    assert other.holder(0) == one.owner


def test_beats_are_written_while_the_block_runs(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    one = Leases(log)
    with one.beating():
        deadline = time.monotonic() + 20
        while log.read_text().count('"beat"') < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    written = log.read_text().count('"beat"')
    assert written >= 3
    time.sleep(0.05)
    assert log.read_text().count('"beat"') == written


def test_looking_leaves_no_trace(log: Path) -> None:
    Leases(log).holder(0)
    assert log.read_text() == ""


def test_a_stop_reaches_the_owners_there_are_and_none_that_comes_later(log: Path) -> None:
    one, two, three = Leases(log), Leases(log), Leases(log)
    assert one.claim(0)
    assert two.claim(1)
    assert set(Leases(log).stop_all()) == {one.owner, two.owner}
    assert three.claim(2)
    assert (one.stopped, two.stopped, three.stopped) == (True, True, False)


def test_an_owner_that_left_holds_nothing_and_may_come_back(log: Path) -> None:
    one, two = Leases(log), Leases(log)
    assert one.claim(0)
    one.leave()
    assert two.stop_all() == []
    assert two.claim(0)
    assert one.claim(1)
    assert two.holder(1) == one.owner
