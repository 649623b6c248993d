"""Two drivers, two Ray nodes and PostgreSQL, all killed and restarted at random times."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import psutil
import pytest

from normsearch.storage.trial_states import is_repeat
from tests.postgres import Server, free_port, server
from tests.search.chaos import EVALUATIONS
from tests.search.test_ray_executor import ROOT, begun

LIMIT_S = 600.0
#: PostgreSQL itself writes down each time a trial's state becomes a final one.
WATCH = """
CREATE TABLE told (trial_id integer);
CREATE FUNCTION note() RETURNS trigger AS
  $$ BEGIN INSERT INTO told VALUES (NEW.trial_id); RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER told AFTER UPDATE OF state ON trials FOR EACH ROW
  WHEN (NEW.state IN ('COMPLETE', 'PRUNED', 'FAIL')) EXECUTE FUNCTION note();
"""


def _end(process: subprocess.Popen[bytes], how: int = signal.SIGKILL) -> None:
    """Send a signal to a process and its group, which is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    process.wait()


@dataclass
class Field:
    """What there is to kill: `nodes` (the head first), `drivers`, a database."""

    folder: Path
    database: Server
    trials: int
    port: int
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _start(self, *command: str, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
        with (self.folder.parent / "output.txt").open("ab") as log:
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "RAY_AUTH_MODE": "disabled",  # a token of the user's would be the head's alone
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_health_check_period_ms": "500",  # a node's death is known in seconds
            }
            return subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def start_node(self) -> None:
        """Start a Ray node of one CPU; the first one is the head."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        store = "--object-store-memory=100000000"
        if self.nodes:
            where = [f"--address={self.address}"]
        else:
            where = ["--head", f"--port={self.port}", "--include-dashboard=false"]
            # Else 10001, and a head ends where another one on the machine has it.
            where.append(f"--ray-client-server-port={free_port()}")
            where.append(f"--temp-dir=/tmp/nsr{self.port}")  # short: it holds sockets
        self.nodes.append(self._start(*ray, *where, store))

    def start_head(self) -> None:
        """Start the head and wait for it; Ray gives up on a machine so busy that it takes 30 s."""
        for _ in range(3):
            self.start_node()
            while self.nodes[0].poll() is None:
                if "Ray runtime started" in self.log():
                    return
                time.sleep(0.2)
            _end(self.nodes.pop())
        assert "timed out during startup" in self.log(), self.log()
        pytest.skip("the machine is too busy to start Ray within 30 s")

    def log(self) -> str:
        """Return the end of what nodes and drivers wrote."""
        return (self.folder.parent / "output.txt").read_text()[-3000:]

    def start_driver(self) -> None:
        """Start a driver of the study, or one that goes on with it."""
        # By a relative path, from elsewhere than the nodes were started from.
        words = [self.folder.name, str(self.trials), self.database.url, self.address]
        command = [sys.executable, "-m", "tests.search.chaos", *words]
        self.drivers.append(self._start(*command, cwd=self.folder.parent))

    def workers(self) -> list[psutil.Process]:
        """Return the processes that train now."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(node.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                        if "TrialActor" in process.cmdline()[0]:
                            found.append(process)
        return found

    def kill(self, what: str, choice: random.Random) -> None:
        """Kill one of something and start it again, as a cluster would."""
        if what == "driver":
            _end(self.drivers.pop(choice.randrange(len(self.drivers))))
            self.start_driver()
        elif what == "worker":
            found: list[psutil.Process] = []

            def seen() -> bool:  # one may end between two looks
                found[:] = self.workers()
                return bool(found)

            self.wait(seen)
            with contextlib.suppress(psutil.NoSuchProcess):
                choice.choice(found).kill()
        elif what == "node":
            _end(self.nodes.pop())
            self.start_node()
        else:
            self.database.stop()
            time.sleep(choice.uniform(0.2, 2))
            self.database.start()

    def tend(self) -> None:
        """Start again what ended too early: a node too slow, a driver without node or database."""
        assert self.nodes[0].poll() is None, self.log()
        for node in self.nodes[1:]:
            if node.poll() is not None:
                _end(node)
                self.nodes.remove(node)
                self.start_node()
        for driver in list(self.drivers):
            if driver.poll() not in (None, 0):
                self.drivers.remove(driver)
                self.start_driver()

    def work(self) -> int:
        """Return how many intervals were begun so far."""
        return sum(map(Counter.total, begun(self.folder).values()))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Tend the drivers until something holds, or until all of them are done."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            self.tend()
            if all(driver.poll() == 0 for driver in self.drivers):
                return
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)


@contextlib.contextmanager
def battlefield(folder: Path, trials: int) -> Iterator[Field]:
    """Two nodes, two drivers and a database of the test's own; none is left after the block."""
    with server() as database:
        port = free_port()
        made = Field(folder, database, trials, port)
        optuna.create_study(storage=database.url, study_name="other")  # makes the tables
        _sql(database, WATCH)
        try:
            made.start_head()
            made.start_node()
            for _ in range(2):
                made.start_driver()
            yield made
        finally:
            for process in (*made.drivers, *reversed(made.nodes)):
                _end(process)
            shutil.rmtree(f"/tmp/nsr{port}", ignore_errors=True)


def _sql(database: Server, text: str) -> list[tuple[int, ...]]:
    import psycopg

    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else []


def fight(folder: Path, trials: int, kills: list[str], seed: int) -> None:
    """Kill, wait for the end, and check what is left of the study."""
    choice = random.Random(seed)
    with battlefield(folder, trials) as made:
        for what in kills:
            more = made.work() + choice.randint(1, 3)
            made.wait(lambda: made.work() >= more and bool(made.workers()))  # noqa: B023
            assert any(driver.poll() is None for driver in made.drivers), "ended before every kill"
            made.kill(what, choice)
        made.wait(lambda: False)
        found = optuna.load_study(study_name="chaos", storage=made.database.url).trials
        told = Counter(trial_id for (trial_id,) in _sql(made.database, "SELECT * FROM told"))
    trained = [trial for trial in found if not is_repeat(trial)]  # a repeat is answered, not asked
    states = Counter(trial.state.name for trial in trained)
    assert states["COMPLETE"] + states["PRUNED"] == trials == len(trained), states
    assert told == Counter({trial._trial_id: 1 for trial in found})
    for trial in found:
        steps = sorted(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        if trial.state.name == "COMPLETE":
            assert trial.value == trial.intermediate_values[EVALUATIONS]
    lost = {n: sum(times - 1 for times in log.values()) for n, log in begun(folder).items()}
    # A node has one CPU and a driver one trial, so that a kill strikes one trial at most.
    assert sum(lost.values()) <= len(kills) - kills.count("database"), lost


def test_each_part_killed_once(tmp_path: Path) -> None:
    fight(tmp_path / "run", 7, ["worker", "driver", "database", "node"], seed=0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_random_kills(tmp_path: Path) -> None:
    seed = 1
    kinds = ["worker", "driver", "database", "node"]
    kills = random.Random(seed).choices(kinds, k=16)
    fight(tmp_path / "run", 60, [*kinds, *kills], seed)
