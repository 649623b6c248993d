import os
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from normsearch.errors import TrainingError
from normsearch.training import Plan, bce_dice_loss, limit_memory, memory
from normsearch.training.memory import peak_memory, prepare_memory, probe_memory
from normsearch.training.optimizer_step import Stepper

MB = 2**20
PLAN = Plan(samples=10, evaluations=1, learning_rate=0.1, accumulate=3, ema=0.9)
WATERMARK = """
import sys
import numpy as np
from pathlib import Path
from normsearch.training.memory import peak_memory, prepare_memory
big = np.ones(200 * 2**20, dtype=np.uint8)
high = peak_memory("cpu")
del big
prepare_memory("cpu")
low = peak_memory("cpu")
more = np.ones(80 * 2**20, dtype=np.uint8)
print(high, low, peak_memory("cpu"))
"""
FAULTS = """
import resource
import torch
from normsearch.training.memory import peak_memory, prepare_memory

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        kept = [torch.ones(2**20) for _ in range(25)]  # 100 MB, then freed, as after a backward
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // steps

prepare_memory("cpu")
first = faults(2)
peak = peak_memory("cpu")
later = faults(10)
prepare_memory("cpu")
print(first, later, peak, peak_memory("cpu"))
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
@pytest.mark.parametrize("kept", [True, False])
def test_a_step_uses_the_memory_of_the_last_one(kept: bool) -> None:
    own = {} if kept else {"MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True,
        env=os.environ | own,
    )  # fmt: skip
    first, later, peak, next_training = map(int, done.stdout.split())
    assert first > 10_000  # pages of 4 KiB
    assert (later < 1000) == kept  # the user's own setting of the allocator stands
    assert peak - next_training > 80 * MB  # given back between trainings


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
    prepare_memory("cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_memory("cpu") == 5000 * 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory("cpu") == 5000


def test_a_kernel_that_refuses_the_reset_stops_no_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path)  # a folder: writing to it is an OSError
    prepare_memory("cpu")
    assert peak_memory("cpu") > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_is_the_allocators_peak() -> None:
    big = torch.ones(64 * MB, dtype=torch.uint8, device="cuda")
    del big
    assert peak_memory("cuda") >= 64 * MB
    prepare_memory("cuda")
    assert peak_memory("cuda") == torch.cuda.memory_allocated("cuda")


class Counting(torch.nn.Module):
    """One convolution, a BatchNorm and dropout: everything a probe could leave a trace in."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, padding=1),
            torch.nn.BatchNorm2d(2),
            torch.nn.Dropout(),
            torch.nn.Conv2d(2, 1, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


def test_a_probe_leaves_no_trace_and_refuses_what_does_not_fit() -> None:
    network, batch = Counting().eval(), (torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    seen: list[torch.Size] = []

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(logits.shape)
        return bce_dice_loss(logits, labels)

    probe_memory(network, batch, loss, "cpu", PLAN)
    assert seen == [(2, 1, 8, 8)] * 4  # two batches of two steps
    assert torch.equal(torch.get_rng_state(), random)
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])

    def no_room(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="batch size 2"):
        probe_memory(network, batch, no_room, "cpu", PLAN)


def test_a_probe_computes_in_the_plans_precision_with_the_optimizers_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dtypes: list[torch.dtype] = []
    layouts: list[bool] = []
    states: list[set[str]] = []
    step = Stepper.step

    class Watching(Counting):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            layouts.append(images.is_contiguous(memory_format=torch.channels_last))
            out = super().forward(images)
            dtypes.append(out.dtype)
            return out

    def stepping(self: Stepper, *given: Any) -> Any:
        states.append({key for one in self.state()["optimizer"]["state"].values() for key in one})
        return step(self, *given)

    monkeypatch.setattr(Stepper, "step", stepping)
    batch = torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    plan = replace(PLAN, optimizer="adam", amp="bfloat16", channels_last=True)
    probe_memory(Watching(), batch, bce_dice_loss, "cpu", plan)
    assert dtypes == [torch.bfloat16] * 4
    assert states == [set(), {"step", "exp_avg", "exp_avg_sq"}]
    assert all(layouts)


def test_the_random_numbers_of_the_device_go_on_as_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator()

    class Device:
        """Stands for torch.cuda."""

        def get_rng_state(self, device: str) -> torch.Tensor:
            return generator.get_state()

        def set_rng_state(self, state: torch.Tensor, device: str) -> None:
            generator.set_state(state)

    monkeypatch.setattr(torch, "get_device_module", lambda device: Device())
    state = memory.random_state("cuda")
    drawn = torch.rand(3), torch.rand(3, generator=generator)
    memory.restore_random_state(state, "cuda")
    for before, again in zip(
        drawn, (torch.rand(3), torch.rand(3, generator=generator)), strict=True
    ):
        assert torch.equal(before, again)
    memory.restore_random_state(memory.random_state("cpu"), "cuda")  # of a training on a CPU


@pytest.mark.gpu
def test_on_cuda_a_batch_beyond_the_share_is_refused_and_a_small_one_fits() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    network = Counting()
    limit_memory(0.01)
    try:
        free, _ = torch.cuda.mem_get_info()
        side = 8192
        too_many = int(0.02 * free / (side * side * 4)) + 2
        big = torch.zeros(too_many, 1, side, side)
        with pytest.raises(TrainingError, match="does not suffice"):
            probe_memory(network, (big, big), bce_dice_loss, "cuda", PLAN)
        small = big[:1, :, :64, :64]
        probe_memory(network, (small, small), bce_dice_loss, "cuda", PLAN)
        assert torch.cuda.memory_allocated() < 2**24
    finally:
        limit_memory(1.0)
