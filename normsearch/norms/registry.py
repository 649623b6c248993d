"""The registry of norms: an entry of `NORMS` for each kind, and `build_norm`."""

from __future__ import annotations

from torch import nn

from normsearch.errors import NormError
from normsearch.norms.batch_channel import BatchChannelNorm
from normsearch.norms.batch_group import BatchGroupNorm
from normsearch.norms.batch_instance import BatchInstanceNorm
from normsearch.norms.batch_kalman import BatchKalmanNorm
from normsearch.norms.building import (
    axis_none_canonical,
    bgn_canonical,
    brn_canonical,
    brn_conflict,
    build_bn,
    build_brn,
    build_gbgn,
    build_iln,
    build_in,
    gbgn_canonical,
    gn_canonical,
    ibn_canonical,
    iln_canonical,
    iln_cure,
    iln_divisor,
    slab_canonical,
)
from normsearch.norms.controls import AxisNoneNorm, SlabGroupNorm
from normsearch.norms.dynamic_function import DynamicErf, DynamicTanh
from normsearch.norms.evonorm import EvoNormB0, EvoNormS0
from normsearch.norms.filter_response import EPS, FilterResponseNorm
from normsearch.norms.global_response import GlobalResponseNorm
from normsearch.norms.instance_batch import InstanceBatchNorm
from normsearch.norms.layer_norm_2d import PixelLayerNorm
from normsearch.norms.local_response import LocalResponseNorm
from normsearch.norms.mean_only import MeanOnlyBatchNorm
from normsearch.norms.moving_average import MovingAverageBatchNorm
from normsearch.norms.official_switchable import OfficialSwitchableNorm
from normsearch.norms.options import ANY_NUMBER, Decimals
from normsearch.norms.root_mean_square import RootMeanSquareGroupNorm, RootMeanSquareNorm2d
from normsearch.norms.sparse_switchable import SparseSwitchableNorm
from normsearch.norms.spec import NORMS, NormKind, NormSpec, group_count
from normsearch.norms.standard import NoNorm, group_norm
from normsearch.norms.switchable import SwitchableNorm
from normsearch.norms.sync_batch import SyncBatchNorm

_SWITCH = ("false", "true")


def _build_sn(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    made = OfficialSwitchableNorm if spec.option("official") == "true" else SwitchableNorm
    return made(channels, dims, sync=spec.option("sync") == "true")


def _build_activation(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    part = spec.activation
    return NORMS[part.kind].build(part, channels, dims)


_KINDS: dict[str, NormKind] = {
    "none": NormKind("no normalization", lambda spec, channels, dims: NoNorm(channels, dims)),
    "BN": NormKind(
        "Batch Normalization: over the batch and space, per channel",
        build_bn,
        options={"defaults": ("torch", "keras")},
    ),
    "SyncBN": NormKind(
        "Batch Normalization over the batch of all processes of torch.distributed",
        lambda spec, channels, dims: SyncBatchNorm(channels, dims),
    ),
    "BRN": NormKind(
        "Batch Renormalization: BN, corrected towards its running moments as training goes on",
        build_brn,
        options={
            "limits": ("paper", "tight"),
            "r": Decimals("3", least=1),
            "d": Decimals("5", least=0),
        },
        conflict=brn_conflict,
        canonical_form=brn_canonical,
    ),
    "BKN": NormKind(
        "Batch Kalman Normalization: BN, its moments mixed with a prior from the layer before",
        lambda spec, channels, dims: BatchKalmanNorm(channels, dims),
    ),
    "IN": NormKind(
        "Instance Normalization: over space, per sample and channel",
        build_in,
        options={"track": _SWITCH},
    ),
    "LN": NormKind(
        "Layer Normalization: over channels and space, per sample",
        lambda spec, channels, dims: group_norm(1, channels),
        canonical_form=gn_canonical,
    ),
    "GN": NormKind(
        "Group Normalization: over space and one of G groups of channels, per sample (GN-8: G = 8)",
        lambda spec, channels, dims: group_norm(group_count(spec), channels),
        form="GN-G",
        canonical_form=gn_canonical,
    ),
    "BGN": NormKind(
        "Batch Group Normalization: over the batch, space and one of G groups of channels",
        lambda spec, channels, dims: BatchGroupNorm(channels, dims, group_count(spec)),
        form="BGN-G",
        canonical_form=bgn_canonical,
    ),
    "GBGN": NormKind(
        "General Batch Group Normalization: over S samples, space and one of G groups of channels",
        build_gbgn,
        form="GBGN-SxG",
        canonical_form=gbgn_canonical,
    ),
    "BCN": NormKind(
        "Batch-Channel Normalization: BN, then GN with G groups",
        lambda spec, channels, dims: BatchChannelNorm(channels, dims, group_count(spec)),
        form="BCN-G",
    ),
    "IBN": NormKind(
        "Instance-Batch Normalization: IN of half of the channels, BN of the others",
        lambda spec, channels, dims: InstanceBatchNorm(channels, dims),
        canonical_form=ibn_canonical,
    ),
    "BIN": NormKind(
        "Batch-Instance Normalization: a learnt mixture of BN and IN per channel",
        lambda spec, channels, dims: BatchInstanceNorm(
            channels, dims, sync=spec.option("sync") == "true"
        ),
        options={"sync": _SWITCH},
    ),
    "ILN": NormKind(
        "Instance-Layer Normalization: a learnt mixture of IN and LN, regrouped by GN-16",
        build_iln,
        options={"gate": ("sigmoid", "clip", "softmax"), "regroup": ("16", "none", ANY_NUMBER)},
        divisor=iln_divisor,
        canonical_form=iln_canonical,
        cure=iln_cure,
    ),
    "SN": NormKind(
        "Switchable Normalization: learnt mixtures of the means and variances of IN, LN and BN",
        _build_sn,
        options={"official": _SWITCH, "sync": _SWITCH},
    ),
    "SSN": NormKind(
        "Sparse Switchable Normalization: SN that has chosen one of the three when training ends",
        lambda spec, channels, dims: SparseSwitchableNorm(channels, dims),
    ),
    "LN2d": NormKind(
        "Layer Normalization of each pixel over its channels, as in ConvNeXt",
        lambda spec, channels, dims: PixelLayerNorm(channels, dims),
        least=2,
    ),
    "RMSGN": NormKind(
        "Root Mean Square Normalization over space and groups of channels: GN without centring",
        lambda spec, channels, dims: RootMeanSquareGroupNorm(channels, dims, group_count(spec)),
        form="RMSGN-G",
    ),
    "RMS2d": NormKind(
        "Root Mean Square Normalization of each pixel over its channels: LN2d without centring",
        lambda spec, channels, dims: RootMeanSquareNorm2d(channels, dims),
    ),
    "GRN": NormKind(
        "Global Response Normalization: amplifies the channels that respond most",
        lambda spec, channels, dims: GlobalResponseNorm(channels, dims),
    ),
    "DyT": NormKind(
        "Dynamic Tanh: a learnt tanh in place of statistics",
        lambda spec, channels, dims: DynamicTanh(channels, dims),
    ),
    "Derf": NormKind(
        "Dynamic Erf: as DyT, with the error function",
        lambda spec, channels, dims: DynamicErf(channels, dims),
    ),
    "LRN": NormKind(
        "Local Response Normalization: by the squares of neighbouring channels, or of pixels",
        lambda spec, channels, dims: LocalResponseNorm(channels, dims, spec.option("over")),
        options={"over": ("channels", "space")},
    ),
    "FRN": NormKind(
        "Filter Response Normalization: by the mean square of each map, and its own activation",
        lambda spec, channels, dims: FilterResponseNorm(channels, dims, spec.option("eps")),
        options={"eps": EPS},
        owns_activation=True,
    ),
    "EvoNorm-S0": NormKind(
        "EvoNorm-S0: a SiLU by the deviation of one of G groups of channels, per sample",
        lambda spec, channels, dims: EvoNormS0(channels, dims, group_count(spec)),
        form="EvoNorm-S0-G",
        owns_activation=True,
    ),
    "EvoNorm-B0": NormKind(
        "EvoNorm-B0: norm and activation of batch and instance deviations in one",
        lambda spec, channels, dims: EvoNormB0(channels, dims),
        owns_activation=True,
    ),
    "MABN": NormKind(
        "Moving Average Batch Normalization: mean squares of the last batches, centred weights",
        lambda spec, channels, dims: MovingAverageBatchNorm(
            channels, dims, int(spec.option("window"))
        ),
        options={"window": ("16", ANY_NUMBER)},
        weight=True,
    ),
    "MBN": NormKind(
        "Mean-only Batch Normalization, for use after WN: WN+MBN",
        lambda spec, channels, dims: MeanOnlyBatchNorm(channels, dims),
    ),
    "WN": NormKind(
        "Weight Normalization of the convolution before the slot, alone or with a norm: WN+MBN",
        _build_activation,
        weight=True,
        prefix=True,
    ),
    "WS": NormKind(
        "Weight Standardization of the convolution before the slot, with a norm: WS+GN-8",
        _build_activation,
        weight=True,
        prefix=True,
    ),
    "slabGN": NormKind(
        "control: GN as one Keras package computes it, over slabs of the first spatial axis",
        lambda spec, channels, dims: SlabGroupNorm(channels, dims, group_count(spec)),
        form="slabGN-G",
        canonical_form=slab_canonical,
    ),
    "IN-axisnone": NormKind(
        "control: IN as one Keras package computes it by default, LN with one weight for all",
        lambda spec, channels, dims: AxisNoneNorm(channels, dims),
        canonical_form=axis_none_canonical,
    ),
}
NORMS.update(_KINDS)


def build_norm(spec: str | NormSpec, channels: int, dims: int) -> nn.Module:
    """Build the norm of `spec`; GN-C is built as a GroupNorm, its canonical form as IN.

    For WN and WS, builds the norm in the slot, after the convolution (`NormSpec.activation`). The
    norm of the weight is applied by `normsearch.norms.set_weight_norm`, or by `apply_norm_map`,
    which finds the convolution.

    Args:
        spec: a spec or its text.
        channels: C of the (N, C, *spatial) tensors it will see.
        dims: the number of spatial axes: 1, 2 or 3.

    Returns:
        A module from (N, C, *spatial) to the same shape, with weight 1 and bias 0, on the CPU. In
        training, batch norms raise ValueError for one value per channel, and IN for one pixel.

    Raises:
        NormError: unknown or infeasible spec, or dims out of range.

    >>> build_norm("ILN(gate=clip)", channels=32, dims=2).mixing_weights()
    {'gate': {'IN': 0.5, 'LN': 0.5}}
    """
    wanted = NormSpec.parse(spec) if isinstance(spec, str) else spec
    if dims not in (1, 2, 3):
        raise NormError(f"{wanted} needs 1, 2 or 3 spatial axes, got {dims}")
    wanted.check(channels)
    return NORMS[wanted.kind].build(wanted, channels, dims)
