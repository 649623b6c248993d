"""Threads that build ahead: in order, bounded, errors in their place, and no thread left."""

import gc
import itertools
import threading
import time
from collections.abc import Callable

import pytest
import torch

from normsearch.data.workers import AHEAD, Workers, flushes_subnormals


def loading() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("normsearch-loader")]


def ended(within: float = 10.0) -> bool:
    """Wait for the threads to end; the limit only keeps a leak from hanging the tests."""
    last = time.monotonic() + within
    while loading() and time.monotonic() < last:
        gc.collect()
        time.sleep(0.01)
    return not loading()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_come_in_order_whichever_is_ready_first(count: int) -> None:
    def build(number: int) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number**2

    workers = Workers(count)
    found = list(itertools.islice(workers.ahead(build, itertools.count(5)), 20))
    assert found == [number**2 for number in range(5, 25)]
    workers.close()
    assert loading() == []


@pytest.mark.parametrize("count", [1, 3])
def test_only_a_few_results_wait(count: int) -> None:
    begun: list[int] = []
    workers = Workers(count)
    results = workers.ahead(lambda number: begun.append(number) or number, itertools.count())
    for taken in range(1, 6):
        next(results)
        workers._pool.submit(lambda: None).result()  # those submitted before have begun
        assert len(begun) <= taken + AHEAD * count
    workers.close()


def test_without_workers_nothing_is_built_ahead() -> None:
    begun: list[int] = []
    results = Workers(0).ahead(lambda number: begun.append(number) or number, itertools.count())
    assert [next(results), next(results)] == begun == [0, 1]
    assert loading() == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_error_comes_where_its_result_would_and_as_it_is(count: int) -> None:
    error = ValueError("sample 3 is odd")

    def build(number: int) -> int:
        if number == 3:
            raise error
        return number

    workers = Workers(count)
    results = workers.ahead(build, itertools.count())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="sample 3") as caught:
        next(results)
    assert caught.value is error
    workers.close()
    assert loading() == []


def _closed(workers: Workers) -> None:
    workers.close()


def _dropped(workers: Workers) -> None:
    del workers


@pytest.mark.parametrize("end", [_closed, _dropped])
def test_no_thread_is_left(end: Callable[[Workers], None]) -> None:
    workers = Workers(3)
    results = workers.ahead(lambda number: number, itertools.count())
    assert next(results) == 0
    assert loading()
    del results
    end(workers)
    del workers
    assert ended()


def test_after_an_end_the_threads_start_again() -> None:
    workers = Workers(1)
    for _ in range(2):
        assert next(workers.ahead(lambda number: number, itertools.count(7))) == 7
        workers.close()


@pytest.mark.parametrize("flushes", [True, False])
def test_threads_treat_subnormal_numbers_as_their_caller_does(flushes: bool) -> None:
    before = flushes_subnormals()
    torch.set_flush_denormal(flushes)
    workers = Workers(2)
    try:
        assert flushes_subnormals() is flushes
        results = workers.ahead(lambda number: flushes_subnormals(), itertools.count())
        assert [next(results) for _ in range(6)] == [flushes] * 6
    finally:
        torch.set_flush_denormal(before)
        workers.close()
