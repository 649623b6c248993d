"""Whatever is damaged: a right result, or one of the project's errors, in one line, soon."""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from normsearch.errors import NormsearchError
from tests.loaders import LOADERS
from tests.mutations import Loader

SECONDS, MEMORY = 5, 2**30
FEW, MANY = 300, 2000
DEAR = ("hostile",)  # trains a little for each file: a quarter of the number


@contextmanager
def bounded() -> Iterator[None]:
    """At most 1 GiB more memory, and no more than 5 s for one file."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    handler = signal.signal(signal.SIGALRM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _stop(*_: object) -> None:
    raise TimeoutError(f"no answer within {SECONDS} s")


def outcome(loader: Loader) -> str:
    """Return 'read', 'refused', or what went wrong."""
    signal.alarm(SECONDS)
    try:
        loader.read()
    except NormsearchError as error:
        told = str(error)
        return "refused" if told and "\n" not in told and len(told) < 20_000 else f"told {told!r}"
    except BaseException:  # noqa: BLE001 - whatever it is, it is reported
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    return "read"


def failures(kind: str, count: int, folder: Path) -> tuple[list[str], dict[str, int]]:
    """Read `count` damaged files of a kind; return what went wrong, and how often what came."""
    loader = LOADERS[kind](folder)
    sound, rng = loader.file.read_bytes(), np.random.default_rng(sum(kind.encode()))
    loader.read()
    found, counts = [], {"read": 0, "refused": 0}
    for number in range(count):
        mutate = loader.mutations[rng.integers(len(loader.mutations))]
        loader.file.write_bytes(mutate(bytearray(sound), rng))
        with bounded():
            told = outcome(loader)
        if told in counts:
            counts[told] += 1
        else:
            found.append(f"number {number}, {mutate.__name__}: {told}")
    return found, counts


#: Kinds of which a damaged line is left out with a warning, and the rest is read.
LEFT_OUT = ("journal", "leases")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(LOADERS))
def test_damage_gives_a_typed_error_or_a_right_result(kind: str, tmp_path: Path) -> None:
    count = FEW // 4 if kind in DEAR else FEW
    found, counts = failures(kind, count, tmp_path)
    assert found == []
    if kind not in LEFT_OUT:
        assert counts["refused"] > count // 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(LOADERS))
def test_more_damage_gives_a_typed_error_or_a_right_result(kind: str, tmp_path: Path) -> None:
    found, _ = failures(kind, MANY, tmp_path)
    assert found == []
