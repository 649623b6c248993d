"""Normalizations of (N, C, *spatial) tensors, built from the text that names them."""

from normsearch.norms.affine import freeze_affine
from normsearch.norms.base import MomentNorm, Norm, OwnsActivation, RunningMomentNorm
from normsearch.norms.batch_channel import BatchChannelNorm
from normsearch.norms.batch_group import BatchGroupNorm
from normsearch.norms.batch_instance import BatchInstanceNorm
from normsearch.norms.batch_kalman import BatchKalmanNorm
from normsearch.norms.batch_renorm import BatchRenorm
from normsearch.norms.controls import AxisNoneNorm, SlabGroupNorm
from normsearch.norms.dynamic_function import DynamicErf, DynamicTanh
from normsearch.norms.evonorm import EvoNormB0, EvoNormS0
from normsearch.norms.filter_response import FilterResponseNorm
from normsearch.norms.gates import clamp_gates, gate_parameters
from normsearch.norms.ghost_batch_group import GhostBatchGroupNorm
from normsearch.norms.global_response import GlobalResponseNorm
from normsearch.norms.instance_batch import InstanceBatchNorm
from normsearch.norms.instance_layer import InstanceLayerNorm
from normsearch.norms.kernels import kernels_in_use
from normsearch.norms.layer_norm_2d import PixelLayerNorm
from normsearch.norms.local_response import LocalResponseNorm
from normsearch.norms.mean_only import MeanOnlyBatchNorm
from normsearch.norms.mixed import MixedNorm, reaches_out
from normsearch.norms.moving_average import MovingAverageBatchNorm
from normsearch.norms.official_switchable import OfficialSwitchableNorm
from normsearch.norms.progress import FollowsProgress, norms_to_update, set_progress
from normsearch.norms.registry import build_norm
from normsearch.norms.root_mean_square import RootMeanSquareGroupNorm, RootMeanSquareNorm2d
from normsearch.norms.sparse_switchable import SparseSwitchableNorm
from normsearch.norms.spec import NORMS, NormKind, NormSpec
from normsearch.norms.standard import NoNorm
from normsearch.norms.switchable import SwitchableNorm
from normsearch.norms.sync_batch import SyncBatchNorm
from normsearch.norms.tracked_instance import TrackedInstanceNorm
from normsearch.norms.weight_parametrizations import CentredWeight, StandardizedWeight
from normsearch.norms.weight_start import initialize_weight_norms
from normsearch.norms.weights import (
    WEIGHT_NORMS,
    check_weight_norm,
    set_weight_norm,
    weight_norm_of,
    weight_norms_for,
)

__all__ = [
    "NORMS",
    "WEIGHT_NORMS",
    "AxisNoneNorm",
    "BatchChannelNorm",
    "BatchGroupNorm",
    "BatchInstanceNorm",
    "BatchKalmanNorm",
    "BatchRenorm",
    "CentredWeight",
    "DynamicErf",
    "DynamicTanh",
    "EvoNormB0",
    "EvoNormS0",
    "FilterResponseNorm",
    "FollowsProgress",
    "GhostBatchGroupNorm",
    "GlobalResponseNorm",
    "InstanceBatchNorm",
    "InstanceLayerNorm",
    "LocalResponseNorm",
    "MeanOnlyBatchNorm",
    "MixedNorm",
    "MomentNorm",
    "MovingAverageBatchNorm",
    "NoNorm",
    "Norm",
    "NormKind",
    "NormSpec",
    "OfficialSwitchableNorm",
    "OwnsActivation",
    "PixelLayerNorm",
    "RootMeanSquareGroupNorm",
    "RootMeanSquareNorm2d",
    "RunningMomentNorm",
    "SlabGroupNorm",
    "SparseSwitchableNorm",
    "StandardizedWeight",
    "SwitchableNorm",
    "SyncBatchNorm",
    "TrackedInstanceNorm",
    "build_norm",
    "check_weight_norm",
    "clamp_gates",
    "freeze_affine",
    "gate_parameters",
    "initialize_weight_norms",
    "kernels_in_use",
    "norms_to_update",
    "reaches_out",
    "set_progress",
    "set_weight_norm",
    "weight_norm_of",
    "weight_norms_for",
]
