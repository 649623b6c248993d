"""Networks of anybody's: `module:function` that returns an nn.Module, and what must hold of it."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError, did_you_mean
from normsearch.networks.slots import apply_norm_map, list_norms, verify_norm_map

# What code that is not ours raises where it is given something it cannot use.
_FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, ImportError),
    *(RuntimeError, TypeError, ValueError),
)


def build_foreign(
    name: str, offered: Mapping[str, object], arguments: Mapping[str, object], seed: int | None
) -> nn.Module:
    """Call the function that `name` says, with the arguments, and return its network.

    Args:
        name: ``module:function``, or ``module:Class``; the working folder is importable.
        offered: arguments that are passed if the function has parameters of these names.
        arguments: further ones, which win. A mapping ``{import: module:name}`` among them stands
            for that object, as for ``conv_op: {import: torch.nn:Conv2d}``.
        seed: of torch's random numbers while it builds, which are as before afterwards; None leaves
            them alone.

    Raises:
        NetworkError: no such module or function, arguments that it refuses, no nn.Module.
    """
    function = import_object(name)
    if not callable(function):
        raise NetworkError(f"{name}: must be a function or class, got a {type(function).__name__}")
    known = _parameters(function)
    given = {key: value for key, value in offered.items() if key in known}
    given.update({key: _imported(value) for key, value in arguments.items()})
    if seed is not None and "seed" in known:
        given.setdefault("seed", seed)
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            net = function(**given)
    except _FAULTS as error:
        passed = ", ".join(given) or "no arguments"
        raise NetworkError(
            f"{name}: must accept what it is given ({passed}), and says: {_line(error)}; "
            "see network.arguments"
        ) from error
    if not isinstance(net, nn.Module):
        raise NetworkError(f"{name}: must return an nn.Module, got a {type(net).__name__}")
    return net


def import_object(text: str) -> object:
    """Return what ``module:name`` says; the working folder is importable, after all else.

    Raises:
        NetworkError: not of this form, or no such module or name.
    """
    path, _, name = text.partition(":")
    if not path or not name:
        raise NetworkError(f"{text!r}: must be of the form module:function")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # for good: a module may import its neighbours late
    try:
        found: object = importlib.import_module(path)
    except ModuleNotFoundError as error:
        # A module that exists, and itself imports one that does not, has another cure.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise NetworkError(f"{text}: must be importable, and says: {_line(error)}") from error
        raise NetworkError(
            f"{text}: must name a module that is installed or lies in {here}, and there is no "
            f"{error.name}; install it, or run from the folder that holds it"
        ) from error
    except (*_FAULTS, SyntaxError) as error:
        raise NetworkError(f"{text}: must be importable, and says: {_line(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            likely = did_you_mean(part, [key for key in dir(found) if not key.startswith("_")])
            raise NetworkError(f"{text}: must name something in {path}, got {part!r}.{likely}")
        found = getattr(found, part)
    return found


def check_network(net: nn.Module, shape: Sequence[int], outputs: int) -> None:
    """Prove by forward passes of one sample that a network can be trained and searched here.

    It must take (1, *shape), return one tensor (1, outputs, *spatial) of logits, and every norm
    slot must be replaceable, which is tried with ``none``.

    Args:
        net: a network that is of no further use: its norms are gone afterwards.
        shape: (C, *spatial) of a sample.
        outputs: the number of output channels.

    Raises:
        NetworkError: naming the size and what does not hold.
    """
    name, example = type(net).__name__, torch.zeros(1, *shape)
    net.eval()
    try:
        with torch.no_grad():
            out = net(example)
    except _FAULTS as error:
        raise NetworkError(
            f"{name}: must accept an input of {_sides(example.shape)}, and says: {_line(error)}; "
            "change task.size or network.arguments"
        ) from error
    if not isinstance(out, Tensor):
        raise NetworkError(
            f"{name}: must return one tensor of logits, got a {type(out).__name__}; turn deep "
            "supervision and other extra outputs off in network.arguments, or wrap the network"
        )
    wanted = torch.Size((1, outputs, *shape[1:]))
    if out.shape != wanted:
        raise NetworkError(
            f"{name}: must turn an input of {_sides(example.shape)} into an output of "
            f"{_sides(wanted)}, got {_sides(out.shape)}; see network.arguments"
        )
    if not list_norms(net):
        raise NetworkError(f"{name}: must have a norm slot (BN, IN or GN module), and has none")
    apply_norm_map(net, {"*": "none"})
    verify_norm_map(net, example)


def _parameters(function: Any) -> list[str]:
    """The names it takes as keyword arguments; none where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _imported(value: object) -> object:
    """`value`, with every ``{import: module:name}`` in it replaced by that object."""
    if isinstance(value, Mapping):
        if list(value) == ["import"]:
            return import_object(str(value["import"]))
        return {key: _imported(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_imported(item) for item in value]
    return value


def _line(error: BaseException) -> str:
    """An error in one line, its kind where it has no words."""
    text = " ".join(str(error).split())
    return text if len(text) > 3 else f"{type(error).__name__} {text}".strip()


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
