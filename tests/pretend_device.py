"""A second device for tests on machines without a GPU: it holds real numbers in ordinary memory.

``pretend:0`` is a torch device of its own. Like CUDA it refuses to compute with CPU tensors (those
of no dimension excepted), autograd refuses gradients that lie elsewhere, and its tensors are not
`is_cpu`. Numbers are those of the CPU, so that a training must equal the CPU's to the last bit.
Each read of a value by the host (``item``, ``float``, ``bool``, ``tolist``, ``nonzero``, a copy to
the CPU) is counted, as on a GPU it waits for all that was launched. It has no kernels, streams,
autocast, memory limit or cuDNN, so that it shows nothing of those. Torch knows the device from the
import of this module on, so that tests import it in a process of their own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

import normsearch

NAME = "pretend"
PACKAGE = f"{Path(normsearch.__file__).parent}/"
READING = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2"}
COPYING = {"copy_", "_to_copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # take indices on the CPU too


class _Module(_DummyBackendModule):  # type: ignore[misc]
    """What torch.get_device_module returns."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.zeros(16, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        pass

    def max_memory_allocated(self, device: object = None) -> int:
        return 0

    def reset_peak_memory_stats(self, device: object = None) -> None:
        pass

    reset_accumulated_memory_stats = reset_peak_memory_stats

    def empty_cache(self) -> None:
        pass


class Pretend(Tensor):
    """A tensor on the device; `raw` holds its numbers."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> Pretend:
        made: Pretend = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=torch.device(NAME, 0),
        )
        made.raw = raw
        return made

    def __init__(self, raw: Tensor) -> None:
        pass

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretend({self.raw})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            made: Tensor = Pretend(self.raw.detach().clone())
            if isinstance(self, nn.Parameter):
                made = nn.Parameter(made, self.requires_grad)
            memo[id(self)] = made
        found: Tensor = memo[id(self)]
        return found

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _call(func, args, kwargs or {})


READS: Counter[str] = Counter()
"""Reads by the host, by the line of normsearch that asked for them."""


def _call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation of torch on the numbers, after what the device would refuse."""
    tensors = list(_tensors(args))
    ours = [value for value in tensors if isinstance(value, Pretend)]
    asked = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    if not ours and asked != NAME:
        return func(*args, **kwargs)
    name = func.overloadpacket.__name__
    to_cpu = bool(ours) and asked == "cpu" and name == "_to_copy"
    onto_cpu = name == "copy_" and not isinstance(args[0], Pretend)
    if name in READING or to_cpu or onto_cpu:
        READS[f"{_line()} by {name}"] += 1
    elif name not in COPYING | INDEXING:
        _refuse_strangers(name, tensors)
    plain, options = _mapped(_raw, args), {k: _raw(value) for k, value in kwargs.items()}
    if asked == NAME:
        options["device"] = torch.device("cpu")
    out = func(*plain, **options)
    if to_cpu or onto_cpu:
        return args[0] if onto_cpu else out
    same = {id(value.raw): value for value in ours}  # operations in place return their input

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return same[id(value)] if id(value) in same else Pretend(value)

    return _mapped(wrapped, out)


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, Pretend) else value


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Map the values in tuples and lists, which are all that operations take and return."""
    if isinstance(value, tuple | list):
        return type(value)(_mapped(function, one) for one in value)
    return function(value)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)


def _refuse_strangers(name: str, tensors: list[Tensor]) -> None:
    strangers = [v for v in tensors if not isinstance(v, Pretend) and v.dim()]
    if strangers:
        raise RuntimeError(
            f"Expected all tensors to be on the same device: {name} at {_line()} got one of shape "
            f"{tuple(strangers[0].shape)} on the CPU"
        )


def _line() -> str:
    """Return the innermost line of normsearch that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back
    return "torch"


class _Created(TorchDispatchMode):
    """Handles tensors that are created on the device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _call(func, args, kwargs or {})


def on_cpu(tree: Any) -> Any:
    """Return a tree of values with its tensors on the CPU, as a checkpoint is read."""
    return tree_map(lambda value: value.raw.clone() if isinstance(value, Pretend) else value, tree)


@contextmanager
def pretend_device() -> Iterator[str]:
    """Make the device usable inside; returns its name, and forgets the reads before."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    # Parameters stay the same objects where a network is moved, as on CUDA.
    torch.__future__.set_swap_module_params_on_conversion(True)
    READS.clear()
    try:
        with _Created():
            yield NAME
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


# Before the first backward pass of the process, which starts a thread for each device there is.
_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
