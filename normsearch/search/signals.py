"""Ctrl-C and SIGTERM during a search: live trials are released, and the run can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from normsearch.errors import NormsearchError
from normsearch.search.coordinator import Coordinator


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived, and the grace period is over or no trial is left to wait for."""


@contextmanager
def interruptible(coordinator: Coordinator) -> Iterator[Callable[[NormsearchError], None]]:
    """Let Ctrl-C end the search at once, and SIGTERM after the study's grace period at the latest.

    Within the grace period trials run to their next evaluation point, and later resume from its
    checkpoint. Both signals end the search even if they arrive in code that cannot raise, such as
    a finalizer: Python then prints the exception, and the coordinator raises it again.

    Yields a function by which another thread ends the search with an error. It takes effect at
    once, except outside the main thread, which receives no signals.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Terminated: SIGTERM.
    """
    terminated = False
    handlers = dict[int, Any]()

    def fail(error: NormsearchError) -> None:
        coordinator.failure = error
        if handlers:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def interrupt(signum: int, frame: Any) -> None:
        if coordinator.failure:
            raise coordinator.failure
        coordinator.interrupted = Terminated if signum == signal.SIGALRM else KeyboardInterrupt
        raise coordinator.interrupted

    def terminate(signum: int, frame: Any) -> None:
        nonlocal terminated
        terminated = True
        coordinator.request_stop()
        # Above 0, since zero would mean no alarm.
        signal.setitimer(signal.ITIMER_REAL, max(coordinator.config.search.grace_seconds, 0.001))

    if threading.current_thread() is not threading.main_thread():
        yield fail  # only the main thread receives signals
        return
    handlers |= {signal.SIGINT: interrupt, signal.SIGALRM: interrupt, signal.SIGTERM: terminate}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield fail
        if terminated:
            raise Terminated
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        handlers.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
