"""Norms without learnt γ and β."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normsearch.norms.base import Norm
from normsearch.norms.gates import gate_parameters

_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, Norm)


def freeze_affine(net: nn.Module) -> None:
    """Keep weight and bias of every norm in `net` at what they are, 1 and 0 at first; gates learn.

    Do this before an optimizer is made.
    """
    gates = {id(gate) for gate in gate_parameters(net)}
    for norm in net.modules():
        if isinstance(norm, _NORMS):
            for parameter in norm.parameters():
                if id(parameter) not in gates:
                    parameter.requires_grad_(False)
