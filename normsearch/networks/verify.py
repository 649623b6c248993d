"""The proof that a network calls the norms in its slots, and no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from normsearch.errors import NetworkError
from normsearch.networks.slots import NORM_KINDS, norm_modules


def verify_norm_map(net: nn.Module, example: Tensor) -> None:
    """Prove by one forward pass, in eval and without gradients, that every norm slot is used.

    A network may register a module and yet call another object, or none: a norm put there would
    silently do nothing. Norms that run without being registered, as a replaced one that the network
    still holds in a plain list does, are found as well.

    Args:
        net: any network; its training flags are as before afterwards.
        example: an input it accepts.

    Raises:
        NetworkError: slots whose norm was not called, all by name, or norms that ran unregistered.
    """
    called = _called(net, example)
    norms = norm_modules(net)
    missed = [name for name, norm in norms.items() if norm not in called]
    if missed:
        raise NetworkError(
            f"{type(net).__name__}: every norm slot must be called in a forward pass, "
            f"{', '.join(missed)} were not; leave them out of the norm map"
        )
    hidden = [norm for norm in called if norm not in set(net.modules())]
    if hidden:
        kinds = ", ".join(sorted({type(norm).__name__ for norm in hidden}))
        raise NetworkError(
            f"{type(net).__name__}: every norm that runs must be registered, as an attribute or in "
            f"an nn.ModuleList, and {len(hidden)} ({kinds}) is not; no norm map reaches it"
        )


def _called(net: nn.Module, example: Tensor) -> dict[nn.Module, None]:
    """The norms that a forward pass calls, registered or not, in order."""
    called: dict[nn.Module, None] = {}

    def note(module: nn.Module, *_: object) -> None:
        if isinstance(module, NORM_KINDS):
            called[module] = None

    hook = register_module_forward_pre_hook(note)  # on all modules there are, also the hidden ones
    flags = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad():
            net(example)
    finally:
        hook.remove()
        for module, training in flags:
            module.training = training
    return called
