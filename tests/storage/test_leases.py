"""Leases: one of several claims wins, and only dead owners lose their trials."""

import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import psutil
import pytest

from normsearch.errors import GoneError
from normsearch.storage import journal, leases
from normsearch.storage.driver_process import machine
from normsearch.storage.leases import Leases


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
        "import sys, time; from pathlib import Path; from normsearch.storage.leases import Leases\n"
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
    one._write(op="owner", host=machine(), pid=os.getpid(), started="1", time=time.time())
    one._registered = True
    assert one.claim(0)
    assert Leases(log).holder(0) is None


@pytest.mark.parametrize("ahead", [0.0, 90.0, -90.0])
@pytest.mark.parametrize("host", ["elsewhere:boot:pid:[1]", "container", "older:boot"])
def test_an_owner_elsewhere_lives_by_its_beats_whatever_its_clock(
    log: Path, monkeypatch: pytest.MonkeyPatch, host: str, ahead: float
) -> None:
    """A container of this very host name and boot is elsewhere too: its pids mean nothing here."""
    if host == "container":
        host = machine().rpartition(":pid:")[0] + ":pid:[1]"
    told, now = time.time() + ahead, time.monotonic()
    one = Leases(log)
    one._write(op="owner", host=host, pid=os.getpid(), started="1", time=told)
    one._registered = True
    assert one.claim(0)
    other = Leases(log)
    assert not other.claim(0)
    assert other.unsure(0) == host.partition(":")[0]
    monkeypatch.setattr(time, "monotonic", lambda: now + leases.LEASE_S - 1)
    assert not other.claim(0)
    one._write(op="beat", time=told + 59)
    assert other.holder(0) == one.owner
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * leases.LEASE_S - 2)
    assert not other.claim(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * leases.LEASE_S)
    assert other.unsure(0) is None
    assert other.claim(0)
    one._write(
        op="beat", time=told + 120
    )  # it was stopped only: alive again, and without the trial
    assert one.holder(0) == other.owner


def test_a_shorter_lease_is_the_owners_own(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Leases(log, lease=2), Leases(log)
    monkeypatch.setattr(leases, "machine", lambda: "elsewhere:boot:pid:[1]")
    assert one.claim(0)
    monkeypatch.undo()
    assert not other.claim(0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2.1)
    assert other.claim(0)


def test_a_glance_goes_by_the_clock_of_the_owner(log: Path) -> None:
    for age, alive in ((10.0, True), (100.0, False)):
        one = Leases(log)
        one._write(op="owner", host="elsewhere:", pid=1, started="1", time=time.time() - age)
        one._registered = True
        assert one.claim(int(age))
        assert (Leases(log, glance=True).holder(int(age)) is not None) == alive


def test_beats_are_written_while_the_block_runs(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Leases(log, lease=0.04)
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


def damaged(log: Path, line: int, content: bytes) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    lines[line] = content
    log.write_bytes(b"".join(lines))


BAD = {
    "empty": b"\n",
    "zeroed": bytes(40) + b"\n",
    "nothing in it": b"{}\n",
    "a list": b"[1]\n",
    "cut": b'{"op":"claim","tri\n',
    "no text": b"\xff\xfe\n",
    "unknown": b'{"op":"dance","owner":"x"}\n',
    "wrong kind": b'{"op":"claim","trial":"1","epoch":[],"owner":"x"}\n',
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_stops_nobody_and_is_told_once(log: Path, kind: str) -> None:
    one = Leases(log)
    assert one.claim(0)
    assert one.claim(1)
    log.write_bytes(log.read_bytes() + BAD[kind])
    one.release(1)
    with pytest.warns(UserWarning, match=r"leases\.log: line 4 must be an entry, and is damaged"):
        assert not Leases(log).claim(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = Leases(log)
        assert not other.claim(0)
        assert other.claim(1)


def test_lines_that_are_lost_steal_nothing_from_the_living(log: Path) -> None:
    """Of a living owner its own line, and the first claim of a trial, are damaged."""
    one = Leases(log)
    assert one.claim(0)
    one.release(0)
    assert one.claim(0)
    damaged(log, 0, b"\n")
    damaged(log, 1, b"\n")
    other = Leases(log)
    with pytest.warns(UserWarning, match=r"line [12] must be an entry"):
        assert not other.claim(0)
    assert other.epoch(0) == 2


def test_a_changed_bit_is_seen(log: Path) -> None:
    one = Leases(log)
    assert one.claim(5)
    log.write_bytes(log.read_bytes().replace(b'"trial":5', b'"trial":6'))
    with pytest.warns(UserWarning, match="line 2 must be an entry, and is damaged"):
        assert Leases(log).holder(6) is None


def test_a_line_without_a_checksum_of_an_older_version_is_read(log: Path) -> None:
    log.write_text(
        '{"op":"owner","host":"a:b","pid":1,"started":1.5,"time":1.5,"owner":"x"}\n'
        '{"op":"claim","trial":0,"epoch":0,"owner":"x"}\n'
    )
    assert Leases(log).holder(0) == "x"


def test_a_deleted_log_is_one_sentence_and_is_not_made_again(log: Path) -> None:
    one = Leases(log)
    assert one.claim(0)
    log.unlink()
    with pytest.raises(GoneError, match=r"leases\.log: must stay .* was deleted"):
        one.claim(1)
    assert not log.exists()


def test_a_lock_left_by_the_dead_is_taken_though_the_path_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative link would lead nowhere, and the wait for its lock would never end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(journal, "_LOCK_GRACE_S", 3)
    one = Leases(Path("leases.log"))
    one._journal._lock.acquire()
    assert Leases(Path("leases.log")).claim(0)
    one.release(0)  # its lock was taken away


def test_hours_are_those_in_which_some_owner_was_at_work(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1e9]
    monkeypatch.setattr("time.time", lambda: clock[0])

    def later(hours: float) -> None:
        clock[0] += 3600 * hours

    one = Leases(log)
    assert one.hours() == 0
    assert one.claim(0)
    later(1)
    assert one.hours() == pytest.approx(1)
    two = Leases(log)
    assert two.claim(1)
    later(1)  # both at work: counted once
    one.leave()
    later(1)
    two._write(op="beat", time=clock[0])
    assert two.hours() == pytest.approx(3)
    later(5)  # the second was killed after its heartbeat
    three = Leases(log)
    assert three.hours() == pytest.approx(3)
    assert three.claim(2)
    later(0.5)
    assert three.hours() == pytest.approx(3.5)
    assert Leases(log, glance=True).hours() == pytest.approx(3)
