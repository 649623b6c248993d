"""SIGTERM: the search waits for the current evaluation, at most for the grace period."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from normsearch.config import TrialConfig
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.search.signals import Terminated, interruptible
from tests.made_up_search import trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]


def terminated(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[Any]:
    """Get SIGTERM in the middle of the third interval."""
    for entry in trainer(config, data, folder, token):
        if entry["evaluation"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(data)
        yield entry


@pytest.mark.parametrize(("needed", "grace", "kept"), [(0.0, 60, [1, 2, 3]), (600, 0.2, [1, 2])])
def test_sigterm(
    study: Maker, tmp_path: Path, needed: float, grace: float, kept: list[int]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    coordinator = study(search={"grace_seconds": grace})
    with pytest.raises(Terminated):
        run_local(coordinator, needed, terminated)
    assert sorted(stored(tmp_path / "run").trials[0].intermediate_values) == kept
    assert coordinator.live == 0
    assert coordinator.leases.holder(0) is None
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_interrupt_that_a_library_swallowed_is_raised_again(study: Maker) -> None:
    coordinator = study()
    with interruptible(coordinator), contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    with pytest.raises(KeyboardInterrupt):
        coordinator.check_interrupt()
