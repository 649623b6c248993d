"""The gates of a network's adaptive norms: for the optimizer, and clamped after its step."""

from __future__ import annotations

from torch import nn

from normsearch.norms.base import Norm


def gate_parameters(net: nn.Module) -> list[nn.Parameter]:
    """Return the gates (ρ and logits) of all norms in `net`, in registration order.

    Give them their own optimizer group: no weight decay, and for BIN ten times the learning rate.
    """
    norms = [module for module in net.modules() if isinstance(module, Norm)]
    gates = (gate for norm in norms for gate in norm.gates())
    return list({id(gate): gate for gate in gates}.values())


def clamp_gates(net: nn.Module) -> None:
    """Clamp ρ of every BIN to [0, 1]; call it after each optimizer step."""
    for norm in net.modules():
        if isinstance(norm, Norm):
            norm.clamp_gates()
