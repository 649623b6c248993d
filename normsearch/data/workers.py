"""Threads that build batches ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

AHEAD = 2  # results a thread that wait for their use, as PyTorch's prefetch_factor

Built = TypeVar("Built")


class Workers:
    """A number of threads that build results in advance; 0 builds each when it is asked for.

    The threads start with the first result, and end with `close` or with the object.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ThreadPoolExecutor | None = None

    def ahead(self, build: Callable[[int], Built], numbers: Iterator[int]) -> Iterator[Built]:
        """Yield ``build(number)`` of each of `numbers`, which must not end, in their order.

        At most `AHEAD` results a thread wait. An error of `build` is raised where its result would
        be yielded.
        """
        if not self._count:
            yield from map(build, numbers)
            return
        pool = self._started()
        waiting = deque(pool.submit(build, next(numbers)) for _ in range(AHEAD * self._count))
        try:
            while True:
                built = waiting.popleft().result()
                waiting.append(pool.submit(build, next(numbers)))
                yield built
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the threads; results that were not asked for are dropped."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _started(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self._count,
                thread_name_prefix="normsearch-loader",
                # Each thread has its own setting, and with another one the last bits may differ.
                initializer=torch.set_flush_denormal,
                initargs=(flushes_subnormals(),),
            )
        return self._pool


def flushes_subnormals() -> bool:
    """Return whether this thread treats subnormal numbers as zero; PyTorch has no such getter."""
    return not bool(torch.tensor(1e-40) * 1)
