"""Faster steps: copies that the host does not wait for, channels last, and torch.compile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normsearch.errors import ConfigError, one_line

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_BACKEND = "inductor"  # torch's default
_BROKEN = (
    "training.compile: must be false where torch.compile does not work (it needs a C++ compiler, "
    "on a GPU also Triton), and says: {}."
)


def to_device(tensor: Tensor, device: str) -> Tensor:
    """Return a tensor on `device`; the host does not wait for its copy to a GPU.

    A copy from memory that is not pinned would make it wait for all that was launched before.
    """
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Transfer:
    """Copies batches to a device; to a GPU while the step before is still computed there.

    The copy runs on a stream of its own, and what the caller launches afterwards waits for it. The
    host is at most one step ahead, so that two batches are in the GPU's memory, and never more.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._copies: torch.cuda.Stream | None = None
        if torch.device(device).type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._launched: torch.cuda.Event | None = None

    def __call__(self, batch: Iterable[Tensor]) -> list[Tensor]:
        """Return the tensors of a batch on the device."""
        if self._copies is None:
            return [to_device(tensor, self._device) for tensor in batch]
        steps = torch.cuda.current_stream(self._device)
        if self._launched is not None:
            self._launched.synchronize()  # the step before the last one has ended
        ended = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._launched = steps.record_event(ended)
        with torch.cuda.stream(self._copies):
            found = [to_device(tensor, self._device) for tensor in batch]
        steps.wait_stream(self._copies)
        for tensor in found:
            tensor.record_stream(steps)  # its memory is not used again before the step has ended
        return found


def channels_last(tensor: Tensor) -> Tensor:
    """Return a tensor of four or five axes with its second axis last in memory; others as they are.

    These are images of two or three spatial axes, and the weights of their convolutions.
    """
    memory = _FORMATS.get(tensor.dim())
    return tensor if memory is None else tensor.contiguous(memory_format=memory)


def use_channels_last(network: nn.Module) -> None:
    """Store the weights of a network's convolutions with the channels last."""
    for parameter in network.parameters():
        parameter.data = channels_last(parameter.data)


def compiled(network: nn.Module, cuda_graphs: bool = False) -> Callable[[Tensor], Any]:
    """Return the forward pass of a network, compiled for each shape of its input.

    With `cuda_graphs`, forward and backward are recorded once and then replayed, each as one
    launch. The outputs of a pass are overwritten by the next, and so are gradients: torch adds up
    no second batch (pytorch/pytorch issue 169545).

    The network itself does not change: its parameters keep their names. What earlier trainings
    compiled in this process is dropped, as torch compiles one function a limited number of times.
    """
    torch.compiler.reset()
    mode = "reduce-overhead" if cuda_graphs else None
    found: Callable[[Tensor], Any] = torch.compile(
        network, backend=_BACKEND, mode=mode, dynamic=False
    )
    return found


def check_compiler(device: str, cuda_graphs: bool = False) -> None:
    """Check that torch.compile works on this machine, by compiling a small function.

    Args:
        device: ``cpu`` or ``cuda``; a GPU that this machine lacks is not checked.
        cuda_graphs: whether the training uses CUDA graphs.

    Raises:
        ConfigError: it does not, for example without a C++ compiler; or CUDA graphs on a CPU.
    """
    if cuda_graphs and device == "cpu":
        raise ConfigError(
            "training.cuda_graphs: must be false for a training on the CPU, got true; leave it "
            "out, or give each trial a GPU (search.resources.gpu)."
        )
    if device == "cuda":
        if torch.cuda.is_available() and (told := _fault_on_a_gpu()):
            raise ConfigError(_BROKEN.format(one_line(told)))
        return
    try:
        torch.compile(lambda x: 2 * x + 1, backend=_BACKEND)(torch.ones(1))
    # The compiler may raise anything.
    except Exception as error:
        raise ConfigError(_BROKEN.format(one_line(error))) from error


_ON_A_GPU = """
import torch
try:
    torch.compile(lambda x: 2 * x + 1)(torch.ones(1, device="cuda"))
except Exception as error:
    print(type(error).__name__, error)
"""


def _fault_on_a_gpu() -> str:
    """Compile in a process that ends, since this one would keep GPU memory; return what fails."""
    done = subprocess.run([sys.executable, "-c", _ON_A_GPU], capture_output=True, text=True)
    return f"exit code {done.returncode}" if done.returncode else done.stdout.strip()
