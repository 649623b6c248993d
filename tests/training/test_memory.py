import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from normsearch.training import memory
from normsearch.training.memory import peak_memory, reset_peak_memory

MB = 2**20
WATERMARK = """
import sys
import numpy as np
from pathlib import Path
from normsearch.training.memory import peak_memory, reset_peak_memory
big = np.ones(200 * 2**20, dtype=np.uint8)
high = peak_memory("cpu")
del big
reset_peak_memory("cpu")
low = peak_memory("cpu")
more = np.ones(80 * 2**20, dtype=np.uint8)
print(high, low, peak_memory("cpu"))
"""
linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc/self/clear_refs"
)


@linux
def test_the_peak_begins_anew_after_a_reset() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATERMARK], capture_output=True, text=True, check=True
    )
    high, low, again = map(int, done.stdout.split())
    assert 180 * MB < high - low < 260 * MB
    assert 60 * MB < again - low < 120 * MB


@linux
def test_it_is_the_high_water_mark_of_proc() -> None:
    before = peak_memory("cpu")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    assert before <= int(found[1]) * 1024 <= before + 64 * MB


def test_without_proc_it_is_what_getrusage_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none")
    usage = type("Usage", (), {"ru_maxrss": 5000})
    monkeypatch.setattr("resource.getrusage", lambda who: usage)
    reset_peak_memory("cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_memory("cpu") == 5000 * 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory("cpu") == 5000


def test_a_kernel_that_refuses_the_reset_stops_no_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path)  # a folder: writing to it is an OSError
    reset_peak_memory("cpu")
    assert peak_memory("cpu") > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_is_the_allocators_peak() -> None:
    big = torch.ones(64 * MB, dtype=torch.uint8, device="cuda")
    del big
    assert peak_memory("cuda") >= 64 * MB
    reset_peak_memory("cuda")
    assert peak_memory("cuda") == torch.cuda.memory_allocated("cuda")
