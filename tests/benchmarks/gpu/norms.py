"""Every norm, forward and backward: milliseconds and memory; eager, compiled, with Triton.

`host ms` is what the host needs to launch a step. Memory is the most that is allocated during a
step beyond its input and the gradient of its output, in units of the input. GroupNorm(8, C) is in
the table as GN-8. Where a norm cannot take a shape or a way, `note` tells why.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import MomentNorm, build_norm
from tests.benchmarks.each_norm import kernels_of, specs, stepper
from tests.benchmarks.gpu.timing import Row, peak, row, timed

TITLE = "Norms, forward and backward: milliseconds, and memory in units of the input"
SHAPES = [(8, 32, 256, 256), (16, 128, 32, 32), (32, 256, 8, 8), (2, 32, 64, 96, 96)]
FORMATS = ("float32", "float16 channels_last")
WAYS = ("eager", "torch.compile", "triton")
TRITON = ("SN", "SSN", "BIN", "ILN", "BGN", "GBGN", "BCN")  # the kinds that have its kernels
SMALL = [(2, 32, 16, 16)]  # of a rehearsal


def texts() -> list[str]:
    """Return a spec of each kind of norm that a lone tensor shows, GN-8 first."""
    # BKN and MBN need the layer before, SyncBN other processes.
    left_out = ("MBN", "BKN", "SyncBN")
    return sorted((text for text in specs() if text not in left_out), key=lambda t: t != "GN-8")


def measured(text: str, shape: tuple[int, ...], form: str, way: str, device: str) -> Row:
    """Return what is measured of one norm, shape, input and way.

    Raises:
        NormError: the norm does not fit the shape.
    """
    dtype = torch.float16 if "float16" in form else torch.float32
    last = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    layout = last if "channels_last" in form else torch.contiguous_format
    x, dy = (
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout)
        for _ in range(2)
    )
    norm: nn.Module = build_norm(text, shape[1], len(shape) - 2).to(device)
    if isinstance(norm, nn.GroupNorm):
        norm.to(dtype)  # whose kernel takes weights of the input's type alone
    if way == "triton":
        check_triton(norm, x)
    if way == "torch.compile":
        torch.compiler.reset()
        norm = torch.compile(norm)
    step = stepper(norm, x.requires_grad_(), dy)
    with kernels_of("triton" if way == "triton" else "torch"):
        on_device, on_host = timed(step, device, 3 if device == "cpu" else 50)
        extra = None if device == "cpu" else peak(step)
    memory = extra and round(extra / (x.numel() * x.element_size()), 2)
    return {"ms": round(on_device, 3), "host ms": round(on_host, 3), "memory": memory}


def check_triton(norm: nn.Module, x: Tensor) -> None:
    """Raise NormError where a norm would take torch's kernels for x, and its row would mislead."""
    from normsearch.norms import triton_norm

    recipe = isinstance(norm, MomentNorm) and norm.recipe(len(x), x.shape[2:].numel())
    if not recipe or not triton_norm.plan_of(recipe, norm.weight, norm.bias, x):
        raise NormError("takes torch's kernels")


def ways_of(text: str, shape: tuple[int, ...], device: str) -> Iterator[str]:
    """Yield the ways to measure a norm; compiling takes long, so only some norms at one shape."""
    adaptive = text.partition("-")[0] in TRITON
    yield "eager"
    if device != "cpu" and shape == SHAPES[0] and (adaptive or text == "GN-8"):
        yield "torch.compile"
    if device != "cpu" and adaptive:
        yield "triton"


def measure(device: str) -> Iterator[Row]:
    """Yield the rows of the table; on the CPU, of a rehearsal."""
    for shape in SMALL if device == "cpu" else SHAPES:
        for form in FORMATS[:1] if device == "cpu" else FORMATS:
            for text in texts()[:: 4 if device == "cpu" else 1]:
                for way in ways_of(text, shape, device):
                    sides = "x".join(map(str, shape))
                    names: Row = {"norm": text, "shape": sides, "input": form, "way": way}
                    yield row(names, partial(measured, text, shape, form, way, device))
