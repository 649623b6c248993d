"""Freezes γ and β of norms."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normsearch.norms.base import Norm

_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm)


def freeze_affine(net: nn.Module) -> None:
    """Freeze weight and bias of every norm in `net` (initially 1 and 0); gates still learn.

    Call it before creating an optimizer.
    """
    for norm in net.modules():
        if isinstance(norm, Norm):
            frozen = norm.affine_parameters()
        else:
            frozen = list(norm.parameters()) if isinstance(norm, _NORMS) else []
        for parameter in frozen:
            parameter.requires_grad_(False)
