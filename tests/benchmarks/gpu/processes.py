"""A function in several processes at once."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from torch import multiprocessing

_LONGEST = 180  # seconds until an answer


def gathered(function: Callable[..., None], processes: int, *words: Any) -> list[Any]:
    """Run a function in so many new processes, and return their answers.

    Args:
        function: of `words`, a barrier of all processes, and a queue for its answer.
        processes: how many.
        words: its first arguments.

    Raises:
        RuntimeError: a process ended without an answer.
    """
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(processes), spawn.Queue()
    members = [
        spawn.Process(target=function, args=(*words, barrier, answers)) for _ in range(processes)
    ]
    for member in members:
        member.start()
    try:
        return [answers.get(timeout=_LONGEST) for _ in members]
    except queue.Empty:
        raise RuntimeError(f"one of {processes} processes ended without an answer") from None
    finally:
        for member in members:
            member.join(10)
            member.terminate()
