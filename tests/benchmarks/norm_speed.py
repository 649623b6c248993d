"""Forward and backward of every norm over GroupNorm(8, C), some beside plain library calls.

    python -m tests.benchmarks.norm_speed [SPEC ...]

measures the norms given, or all of the registry. On the CPU ours are timed twice: on the compiled
kernels, and on torch's (NORMSEARCH_KERNELS=torch).
A ratio is the median over pairs of runs, GroupNorm and the norm in turn. On a machine that others
use, a thread that waits for a core costs milliseconds at every parallel kernel, and the median
counts kernels; `undisturbed` (the fastest tenth of both, over one another) is nearer to the work.
The allocator is made to keep its pages first, for both: pages fresh from the system would cost
more than the kernels, at random.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from normsearch.norms import build_norm, kernels_in_use
from tests.benchmarks.each_norm import kernels_of, specs, stepper
from tests.benchmarks.gpu import timing

TITLE = "Norms, forward and backward: time over GroupNorm(8, C), extra peak memory in activations"
SHAPES = [(4, 32, 128, 128), (4, 128, 32, 32), (1, 16, 256, 256), (8, 64, 64, 64)]
SHAPES += [(1, 16, 16, 128, 128)]
THREADS = 2


class PlainSN(nn.Module):
    """SN in training, as one writes it down."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros_like(self.weight))
        self.logits = nn.Parameter(torch.ones(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
        square = variance + mean**2
        means, variances = [mean], [variance]
        for axis in (1, 0):
            means.append(mean.mean(axis, keepdim=True))
            variances.append(square.mean(axis, keepdim=True) - means[-1] ** 2)
        w, v = self.logits.softmax(1)
        mean = sum(share * part for share, part in zip(w, means, strict=True))
        variance = sum(share * part for share, part in zip(v, variances, strict=True))
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias


class PlainBIN(nn.Module):
    """BIN out of torch's batch_norm and instance_norm."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros_like(self.weight))
        self.rho = nn.Parameter(torch.ones_like(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        batch = functional.batch_norm(x, None, None, training=True)
        mixed = self.rho * batch + (1 - self.rho) * functional.instance_norm(x)
        return mixed * self.weight + self.bias


class PlainILN(nn.Module):
    """ILN out of torch's instance_norm, layer_norm and group_norm."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.rho = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.rho.sigmoid()
        layer = functional.layer_norm(x, x.shape[1:])
        mixed = gate * functional.instance_norm(x) + (1 - gate) * layer
        return functional.group_norm(mixed, 16, self.weight, self.bias)


class PlainGroups(nn.Module):
    """BGN and GBGN: torch's batch_norm of groups of channels, over `samples` at a time."""

    def __init__(self, channels: int, dims: int, samples: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros_like(self.weight))
        self.samples = samples

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            functional.batch_norm(part.reshape(len(part), 8, -1), None, None, training=True)
            for part in x.split(self.samples or len(x))
        ]
        normal = parts[0] if len(parts) == 1 else torch.cat(parts)
        return normal.view(x.shape) * self.weight + self.bias


class PlainBCN(nn.Module):
    """BCN out of torch's batch_norm and group_norm."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2, channels))
        self.biases = nn.Parameter(torch.zeros(2, channels))

    def forward(self, x: Tensor) -> Tensor:
        batch = functional.batch_norm(x, None, None, self.weights[0], self.biases[0], True)
        return functional.group_norm(batch, 8, self.weights[1], self.biases[1])


PLAIN: dict[str, Callable[[int, int], nn.Module]] = {
    "SN": PlainSN,
    "BIN": PlainBIN,
    "ILN": PlainILN,
    "BGN-8": PlainGroups,
    "GBGN-2x8": partial(PlainGroups, samples=2),
    "BCN-8": PlainBCN,
}


@contextmanager
def steady(count: int = THREADS) -> Iterator[None]:
    """So many threads, and an allocator that keeps up to 32 MiB instead of giving it back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    torch.empty(8_000_000).fill_(0)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def pairs(
    step: Callable[[], None],
    reference: Callable[[], None],
    seconds: float,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Return the median of step / reference over pairs, and the ratio of the fastest tenths.

    `clock` is for the CPU. time.thread_time, with one thread, hardly sees what else is running.
    """
    for run in (step, reference) * 3:
        run()
    ours, theirs = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ours) < 5:
        theirs.append(_time(reference, device, clock))
        ours.append(_time(step, device, clock))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    tenth = len(ours) // 10
    return statistics.median(ratios), sorted(ours)[tenth] / sorted(theirs)[tenth]


def _time(run: Callable[[], None], device: str, clock: Callable[[], float]) -> float:
    """Seconds on the CPU, milliseconds between two events on a GPU."""
    if device == "cpu":
        start = clock()
        run()
        return clock() - start
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    run()
    after.record()
    after.synchronize()
    return float(before.elapsed_time(after))


def peak_bytes(run: Callable[[], None], device: str) -> int:
    """The most that was allocated at once during `run`, beyond what was there before it.

    On the CPU it is the running sum of the allocations and releases that torch's profiler sees; the
    compiled kernels have a few dozen numbers for each sample and channel besides.
    """
    if device != "cpu":
        return timing.peak(run)
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return peak


def measure(seconds: float = 0.7, texts: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each norm and way of writing it; `seconds` for each of its five shapes."""
    wanted = texts or specs()
    ways = [("cpu", "torch kernels"), ("cpu", "library calls")]
    if kernels_in_use() == "c":
        ways.insert(0, ("cpu", "compiled kernels"))
    if torch.cuda.is_available():
        ways += [("cuda", way) for way in ("torch kernels", "library calls", "torch.compile")]
    with steady():
        return pd.DataFrame(
            [
                row_of(text, device, way, seconds)
                for device, way in ways
                for text in wanted
                if text in PLAIN or way != "library calls"
            ]
        )


def row_of(text: str, device: str, way: str, seconds: float) -> dict[str, object]:
    """Return a row of `measure`."""
    medians, fastest, extra = {}, [], 0.0
    for shape in SHAPES:
        x = torch.randn(shape, device=device, requires_grad=True)
        dy = torch.randn(shape, device=device)
        step = stepper(_build(text, way, shape).to(device), x, dy)
        reference = stepper(nn.GroupNorm(8, shape[1]).to(device), x, dy)
        name = "x".join(map(str, shape))
        with kernels_of("torch" if way == "torch kernels" else None):
            medians[name], undisturbed = pairs(step, reference, seconds, device)
            fastest.append(undisturbed)
            if shape == SHAPES[0]:
                difference = peak_bytes(step, device) - peak_bytes(reference, device)
                extra = difference / (4 * x.numel())
    row = {"norm": text, "device": device, "code": way}
    row |= {name: round(ratio, 2) for name, ratio in medians.items()}
    row["median"] = round(statistics.median(medians.values()), 2)
    row["undisturbed"] = round(statistics.median(fastest), 2)
    return {**row, "extra memory": round(extra, 2)}


def _build(text: str, way: str, shape: tuple[int, ...]) -> nn.Module:
    channels, dims = shape[1], len(shape) - 2
    if way == "library calls":
        return PLAIN[text](channels, dims)
    norm = build_norm(text, channels, dims)
    return torch.compile(norm) if way == "torch.compile" else norm


if __name__ == "__main__":
    print(TITLE, measure(texts=sys.argv[1:]).to_string(index=False), sep="\n")
