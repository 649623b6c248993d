"""Normalizations of (N, C, *spatial) tensors, built from the text that names them."""

from normsearch.norms.base import MomentNorm, RunningMomentNorm
from normsearch.norms.batch_instance import BatchInstanceNorm
from normsearch.norms.gates import clamp_gates, gate_parameters
from normsearch.norms.instance_layer import InstanceLayerNorm
from normsearch.norms.spec import NORMS, NormKind, NormSpec, build_norm
from normsearch.norms.standard import NoNorm
from normsearch.norms.switchable import SwitchableNorm

__all__ = [
    "NORMS",
    "BatchInstanceNorm",
    "InstanceLayerNorm",
    "MomentNorm",
    "NoNorm",
    "NormKind",
    "NormSpec",
    "RunningMomentNorm",
    "SwitchableNorm",
    "build_norm",
    "clamp_gates",
    "gate_parameters",
]
