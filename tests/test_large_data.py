"""A worker's memory does not grow with the number of cases; smaller than the benchmark of it."""

import math
from pathlib import Path

import pytest

from tests.benchmarks.large_data import measure

SIDES, PATCH = (72, 192, 192), (32, 64, 64)
CASE = math.prod(SIDES) * 5 / 2**20  # MiB of an image and its label


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads own memory in Linux")
def test_a_worker_holds_what_it_samples_whatever_the_number_of_cases() -> None:
    prepared, *trained = measure(SIDES, PATCH, (5, 30), samples=16).itertuples()
    few, many = trained
    assert (few[2], many[2]) == (5, 30)
    assert many[3] - few[3] < 8 * CASE  # 25 more cases
    assert prepared[3] < few[3]  # all 30 and PyTorch would take more than the training
    assert many[4] < 20_000  # bytes that Ray sends
    assert 0 <= many[5] <= 1
