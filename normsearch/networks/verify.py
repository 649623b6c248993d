"""Finds which norms of a network its forward pass calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from normsearch.errors import NetworkError
from normsearch.networks.slots import NORM_KINDS, norm_modules


@contextmanager
def norms_called() -> Iterator[set[nn.Module]]:
    """Collect all norms that run in the block, whether registered in a network or not."""
    called: set[nn.Module] = set()

    def note(module: nn.Module, *_: object) -> None:
        if isinstance(module, NORM_KINDS):
            called.add(module)

    hook = register_module_forward_pre_hook(note)  # global: also for unregistered modules
    try:
        yield called
    finally:
        hook.remove()


def idle_slots(net: nn.Module, called: set[nn.Module]) -> list[str]:
    """Return the names of the norm slots whose norm is not in `called`.

    A network may register a module but call another object or none. A norm in such a slot would
    have no effect.

    Raises:
        NetworkError: a norm ran that is not registered, for example one in a plain list.
    """
    hidden = called - set(net.modules())
    if hidden:
        kinds = ", ".join(sorted({type(norm).__name__ for norm in hidden}))
        raise NetworkError(
            f"{type(net).__name__}: every norm that runs must be registered, as an attribute or in "
            f"an nn.ModuleList, and {len(hidden)} ({kinds}) is not; no norm map reaches it"
        )
    return [name for name, norm in norm_modules(net).items() if norm not in called]


def verify_norm_map(net: nn.Module, example: Tensor) -> None:
    """Check in one forward pass, in eval and without gradients, that every norm slot is used.

    Args:
        net: any network; its training flags are restored afterwards.
        example: an input it accepts.

    Raises:
        NetworkError: some slots were not called (all are named), or unregistered norms ran.
    """
    flags = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad(), norms_called() as called:
            net(example)
    finally:
        for module, training in flags:
            module.training = training
    if missed := idle_slots(net, called):
        raise NetworkError(
            f"{type(net).__name__}: every norm slot must be called in a forward pass, "
            f"{', '.join(missed)} were not; leave them out of the norm map"
        )
