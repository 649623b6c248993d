"""Identifies a network by its source files, its parameters and its output.

Source files are compared by SHA-256, ignoring line ends. The output is compared as a few numbers
with a tolerance of a thousandth, so that machines and versions of torch may differ by rounding; a
hash of rounded numbers would occasionally differ. A formula sets the weights, independently of
seeds and random number generators. For networks of this package no files are compared: a new
version that computes the same is the same network.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType

import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks.importing import place_of, users_code

_PLACES = 8  # values of the output that are compared
_CLOSE = 1e-3  # relative tolerance
_NOT_ITS_CODE = ("builtins", "normsearch", "torch")


def code_files(net: nn.Module, function: str) -> dict[str, str]:
    """Return the SHA-256 of the source of each module that a foreign network is made of, by name.

    These are the modules of `source_files` for `function` and for the classes in the network.
    """
    kinds = {kind for module in net.modules() for kind in type(module).__mro__}
    return source_files({function.partition(":")[0], *(kind.__module__ for kind in kinds)})


def source_files(names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the source of imported modules and of those that they import, by name.

    Imports are followed from modules outside of the installed packages to other such modules.
    Modules of Python, PyTorch and this package, and those without a file, are left out.
    """
    found: dict[str, str] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if name in found or file is None or name.partition(".")[0] in _NOT_ITS_CODE:
            continue
        path = Path(file)
        if path.suffix == ".py" and path.is_file() and place_of(file) != "of Python":
            found[name] = hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
            waiting += _imported(module) if place_of(file) == "in sight" else []
    return dict(sorted(found.items()))


def _imported(module: ModuleType | None) -> list[str]:
    """Return the modules in sight that a module imports names from."""
    found = []
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else ""
        if isinstance(value, type | FunctionType):
            name = value.__module__
        if place_of(getattr(sys.modules.get(name), "__file__", None)) == "in sight":
            found.append(name)
    return found


def parameters_digest(net: nn.Module) -> str:
    """Return the SHA-256 of the names and shapes of all parameters and buffers."""
    shapes = [f"{name} {tuple(value.shape)}" for name, value in sorted(net.state_dict().items())]
    return hashlib.sha256("\n".join(shapes).encode()).hexdigest()


def fixed_output(net: nn.Module, shape: Sequence[int]) -> tuple[float, ...]:
    """Return a few numbers of a network's output for fixed weights and a fixed input.

    Args:
        net: on the CPU; its weights are overwritten.
        shape: (C, *spatial) of a sample.

    Raises:
        NetworkError: the network does not accept the input.
    """
    count = math.prod(shape)
    example = torch.arange(count, dtype=torch.float64).mul(0.7).sin().reshape(1, *shape)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for networks that draw random numbers in the forward pass
        _fill(net)
        rule = f"{type(net).__name__}: must accept an input of {tuple(example.shape)}, and raises"
        with users_code(rule, NetworkError):
            out = net.eval()(example.float())
    while isinstance(out, tuple | list) and out:
        out = out[0]
    if not isinstance(out, Tensor) or not out.numel():
        return ()
    values = out.double().flatten().nan_to_num(0, 0, 0)
    places = torch.linspace(0, len(values) - 1, _PLACES).long()
    summary = torch.cat([values[places], values.mean()[None], values.square().mean().sqrt()[None]])
    return tuple(float(f"{value:.5g}") for value in summary.tolist())


def small_sides(net: nn.Module, sides: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of a small input for a network of this package, at most `sides`.

    They are twice as long as the shortest that the network's poolings divide.
    """
    depth = getattr(net, "depth", None)
    return tuple(min(side, 2 ** (depth + 1)) if isinstance(depth, int) else side for side in sides)


def same_output(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two results of `fixed_output` agree up to rounding."""
    if len(one) != len(other):
        return False
    scale = max(map(abs, [*one, *other]), default=0.0)
    return all(abs(a - b) <= _CLOSE * scale for a, b in zip(one, other, strict=True))


def _fill(net: nn.Module) -> None:
    """Set every parameter and buffer to fixed values of the size of usual initial values."""
    for index, values in enumerate([*net.parameters(), *net.buffers()]):
        if values.is_floating_point():
            waves = torch.arange(values.numel(), dtype=torch.float64).mul(1.9).add(index).cos()
            matrix = isinstance(values, nn.Parameter) and values.dim() > 1
            inputs = max(1, math.prod(values.shape[1:]))
            fixed = waves * math.sqrt(4 / inputs) if matrix else 0.5 + 0.3 * waves
            values.copy_(fixed.reshape(values.shape))
