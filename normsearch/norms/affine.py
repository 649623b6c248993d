"""Freezes γ and β of norms."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normsearch.norms.base import Norm
from normsearch.norms.gates import gate_parameters

_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, Norm)


def freeze_affine(net: nn.Module) -> None:
    """Freeze weight and bias of every norm in `net` (initially 1 and 0); gates still learn.

    Call it before creating an optimizer.
    """
    gates = {id(gate) for gate in gate_parameters(net)}
    for norm in net.modules():
        if isinstance(norm, _NORMS):
            for parameter in norm.parameters():
                if id(parameter) not in gates:
                    parameter.requires_grad_(False)
