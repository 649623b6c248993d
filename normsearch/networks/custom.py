"""Builds networks by import path: a `module:function` that returns an nn.Module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from normsearch.errors import NetworkError, ended_by_ray, one_line
from normsearch.networks.importing import import_object, parameters_of, with_objects
from normsearch.networks.outputs import first_in_eval


def build_foreign(
    name: str, offered: Mapping[str, object], arguments: Mapping[str, object], seed: int | None
) -> nn.Module:
    """Call the function at an import path and return its network.

    If the network returns several outputs in eval, as networks with deep supervision may, it
    returns the first of them from now on.

    Args:
        name: ``module:function``, or ``module:Class``; the working folder is importable.
        offered: arguments that are passed if the function has parameters of these names.
        arguments: further arguments, which override those. A mapping ``{import: module:name}`` is
            replaced by that object, as in ``conv_op: {import: torch.nn:Conv2d}``.
        seed: seeds torch while the network is built; its random state is restored afterwards. None
            does not seed.

    Raises:
        NetworkError: the module or function does not exist, refuses the arguments, or does not
            return an nn.Module.
    """
    function = import_object(name)
    if not callable(function):
        raise NetworkError(f"{name}: must be a function or class, got a {type(function).__name__}")
    known = parameters_of(function)
    given = {key: value for key, value in offered.items() if key in known}
    given.update({key: with_objects(value) for key, value in arguments.items()})
    if seed is not None and "seed" in known:
        given.setdefault("seed", seed)
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            net = function(**given)
    except (Exception, SystemExit) as error:  # of foreign code
        if ended_by_ray(error):
            raise
        passed = ", ".join(given) or "no arguments"
        raise NetworkError(
            f"{name}: must accept what it is given ({passed}), and says: {one_line(error)}; "
            "see network.arguments"
        ) from error
    if not isinstance(net, nn.Module):
        raise NetworkError(f"{name}: must return an nn.Module, got a {type(net).__name__}")
    net.register_forward_hook(first_in_eval)
    return net


def is_network_class(value: object) -> bool:
    """Return whether `value` is a subclass of nn.Module."""
    return isinstance(value, type) and issubclass(value, nn.Module)
