"""Every norm on a GPU, forward and backward: milliseconds and memory, eager, compiled, with Triton.

    python -m tests.benchmarks.gpu_norms [OUTPUT.csv]

needs a CUDA device and torch alone. A time is the median of pairs of CUDA events, each around one
step, and `host` is what the host needs to launch it; memory is the most that is allocated during a
step beyond its input and the gradient of its output, in units of the input. GroupNorm(8, C) is in
the table as GN-8. Where a norm cannot take a shape or a way, the row's `note` tells why.
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import NORMS, MomentNorm, build_norm
from normsearch.norms.kernels import kernels, use_triton

TITLE = "Norms on a GPU, forward and backward: milliseconds, and memory in units of the input"
SHAPES = [(8, 32, 256, 256), (16, 128, 32, 32), (32, 256, 8, 8), (2, 32, 64, 96, 96)]
FORMATS = ("float32", "float16 channels_last")
WAYS = ("eager", "torch.compile", "triton")
TRITON = ("SN", "SSN", "BIN", "ILN", "BGN", "GBGN", "BCN")  # the kinds that have its kernels
NO_DEVICE = "gpu_norms needs a CUDA device that torch sees, and there is none."

Row = dict[str, object]


def texts() -> list[str]:
    """Return a spec of each kind of norm that a lone tensor shows."""
    forms = {name: kind.form or name for name, kind in NORMS.items()}
    # Reparametrized weights and BKN need the layer before, SyncBN other processes.
    left_out = ("none", "WN", "WS", "MBN", "BKN", "SyncBN")
    filled = [
        form.replace("-SxG", "-2x8").replace("-G", "-8")
        for name, form in forms.items()
        if name not in left_out and not name.startswith(("WN", "WS"))
    ]
    return sorted(filled, key=lambda text: text != "GN-8")


@contextmanager
def kernels_of(way: str) -> Iterator[None]:
    """Set NORMSEARCH_KERNELS as `way` asks."""
    with patch.dict(os.environ, {"NORMSEARCH_KERNELS": "triton" if way == "triton" else "torch"}):
        for choice in (kernels, use_triton):
            choice.cache_clear()
        yield
    for choice in (kernels, use_triton):
        choice.cache_clear()


def stepper(norm: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], None]:
    """Return what runs forward and backward once, and lets the gradients go."""

    def step() -> None:
        norm(x).backward(dy)
        x.grad = None
        norm.zero_grad()

    return step


def timed(step: Callable[[], None], steps: int = 50) -> tuple[float, float]:
    """Return the median milliseconds of a step on the device, and of its launch on the host."""
    on_device, on_host = [], []
    for _ in range(10):  # compiles, and tunes
        step()
    torch.cuda.synchronize()
    for _ in range(steps):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start = time.perf_counter()
        before.record()
        step()
        after.record()
        on_host.append(1000 * (time.perf_counter() - start))
        after.synchronize()
        on_device.append(before.elapsed_time(after))
    return statistics.median(on_device), statistics.median(on_host)


def peak(step: Callable[[], None]) -> int:
    """Return the bytes allocated at most during a step, beyond those before it."""
    step()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def row_of(text: str, shape: tuple[int, ...], form: str, way: str) -> Row:
    """Return what is measured of one norm, shape, input and way.

    Raises:
        NormError: the norm does not fit the shape.
    """
    dtype = torch.float16 if "float16" in form else torch.float32
    last = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    layout = last if "channels_last" in form else torch.contiguous_format
    x, dy = (
        torch.randn(shape, device="cuda", dtype=dtype).contiguous(memory_format=layout)
        for _ in range(2)
    )
    norm: nn.Module = build_norm(text, shape[1], len(shape) - 2).cuda()
    if isinstance(norm, nn.GroupNorm):
        norm.to(dtype)  # whose kernel takes weights of the input's type alone
    if way == "triton":
        check_triton(norm, x)
    if way == "torch.compile":
        torch.compiler.reset()
        norm = torch.compile(norm)
    step = stepper(norm, x.requires_grad_(), dy)
    with kernels_of(way):
        device, host = timed(step)
        extra = peak(step) / (x.numel() * x.element_size())
    return {"ms": round(device, 3), "host ms": round(host, 3), "memory": round(extra, 2)}


def check_triton(norm: nn.Module, x: Tensor) -> None:
    """Raise NormError where a norm would take torch's kernels for x, and its row would mislead."""
    from normsearch.norms import triton_norm

    recipe = isinstance(norm, MomentNorm) and norm.recipe(len(x), x.shape[2:].numel())
    if not recipe or not triton_norm.plan_of(recipe, norm.weight, norm.bias, x):
        raise NormError("takes torch's kernels")


def measure() -> list[Row]:
    """Return the table; on a machine without CUDA raise RuntimeError with one sentence."""
    if not torch.cuda.is_available():
        raise RuntimeError(NO_DEVICE)
    rows: list[Row] = []
    for shape in SHAPES:
        for form in FORMATS:
            for text in texts():
                for way in WAYS:
                    if way == "triton" and text.partition("-")[0] not in TRITON:
                        continue
                    names = {"norm": text, "shape": "x".join(map(str, shape)), "input": form}
                    nothing = {"ms": "", "host ms": "", "memory": ""}
                    try:
                        made = {**row_of(text, shape, form, way), "note": ""}
                    except (NormError, RuntimeError, ImportError) as error:
                        made = {**nothing, "note": str(error).strip().partition("\n")[0]}
                    rows.append({**names, "way": way, **made})
    return rows


def table(rows: list[Row]) -> str:
    """Return rows as aligned text, one line each below the names of the columns."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join(padded)


def main(words: list[str]) -> int:
    """Print the table, with the names of device and versions, and write it where one asks."""
    if not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 1
    rows = measure()
    print(f"{TITLE}\n{torch.cuda.get_device_name()}, torch {torch.__version__}\n{table(rows)}")
    for place in words[:1]:
        with Path(place).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
