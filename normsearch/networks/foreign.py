"""Networks of anybody's: `module:function` that returns an nn.Module, and what must hold of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks.importing import FAULTS, import_object, one_line, with_objects
from normsearch.networks.slots import apply_norm_map, list_norms
from normsearch.networks.verify import verify_norm_map


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
    given.update({key: with_objects(value) for key, value in arguments.items()})
    if seed is not None and "seed" in known:
        given.setdefault("seed", seed)
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            net = function(**given)
    except FAULTS as error:
        passed = ", ".join(given) or "no arguments"
        raise NetworkError(
            f"{name}: must accept what it is given ({passed}), and says: {one_line(error)}; "
            "see network.arguments"
        ) from error
    if not isinstance(net, nn.Module):
        raise NetworkError(f"{name}: must return an nn.Module, got a {type(net).__name__}")
    return net


def check_network(net: nn.Module, shape: Sequence[int], logits: Sequence[int]) -> None:
    """Prove by forward passes of one sample that a network can be trained and searched here.

    It must turn (1, *shape) into one tensor (1, *logits), and every norm slot must be replaceable,
    which is tried with ``none``.

    Args:
        net: a network that is of no further use: its norms are gone afterwards.
        shape: (C, *spatial) of a sample.
        logits: (K, *spatial) of what comes out, (K,) for a classifier.

    Raises:
        NetworkError: naming the size and what does not hold.
    """
    name, example = type(net).__name__, torch.zeros(1, *shape)
    net.eval()
    try:
        with torch.no_grad():
            out = net(example)
    except FAULTS as error:
        raise NetworkError(
            f"{name}: must accept an input of {_sides(example.shape)}, and says: "
            f"{one_line(error)}; change task.size or network.arguments"
        ) from error
    if not isinstance(out, Tensor):
        raise NetworkError(
            f"{name}: must return one tensor of logits, got a {type(out).__name__}; turn deep "
            "supervision and other extra outputs off in network.arguments, or wrap the network"
        )
    wanted = torch.Size((1, *logits))
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


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
