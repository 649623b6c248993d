"""How kinds of norms with options are built, and the canonical forms of their specs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from normsearch.norms.batch_norm import batch_norm
from normsearch.norms.batch_renorm import BatchRenorm
from normsearch.norms.ghost_batch_group import GhostBatchGroupNorm
from normsearch.norms.instance_layer import InstanceLayerNorm
from normsearch.norms.spec import NormSpec, group_count
from normsearch.norms.standard import instance_norm
from normsearch.norms.tracked_instance import TrackedInstanceNorm


def gn_canonical(spec: NormSpec, channels: int) -> str:
    # Also for LN and GBGN-1xG. IN comes first, as with one channel both apply.
    if channels == group_count(spec):
        return "IN"
    return "LN" if group_count(spec) == 1 else f"GN-{spec.groups}"


def slab_canonical(spec: NormSpec, channels: int) -> str:
    return gn_canonical(spec, channels) if spec.groups == 1 else str(spec)


def axis_none_canonical(spec: NormSpec, channels: int) -> str:
    return "IN" if channels == 1 else str(spec)


def bgn_canonical(spec: NormSpec, channels: int) -> str:
    return "BN" if channels == spec.groups else str(spec)


def gbgn_canonical(spec: NormSpec, channels: int) -> str:
    return gn_canonical(spec, channels) if spec.samples == 1 else str(spec)


def build_bn(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    if spec.option("defaults") == "keras":  # keras.layers.BatchNormalization: momentum 0.99
        return batch_norm(channels, dims, eps=1e-3, momentum=0.01)
    return batch_norm(channels, dims)


def build_in(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    if spec.option("track") == "true":
        return TrackedInstanceNorm(channels, dims)
    return instance_norm(channels, dims)


def _brn_limits(spec: NormSpec) -> tuple[float, float]:
    if spec.option("limits") == "tight":
        return 1.5, 0.5
    return float(spec.option("r")), float(spec.option("d"))


def brn_conflict(options: Mapping[str, str]) -> str:
    given = [name for name in ("r", "d") if name in options]
    if options.get("limits") != "tight" or not given:
        return ""
    return (
        "limits=tight means r=1.5 and d=0.5 and must stand alone, got it beside "
        f"{' and '.join(f'{name}={options[name]}' for name in given)}; leave it out"
    )


def brn_canonical(spec: NormSpec, channels: int) -> str:
    same = {(1.0, 0.0): "BN", (1.5, 0.5): "BRN(limits=tight)"}
    return same.get(_brn_limits(spec), str(spec))


def build_brn(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    rmax, dmax = _brn_limits(spec)
    return BatchRenorm(channels, dims, rmax, dmax)


def ibn_canonical(spec: NormSpec, channels: int) -> str:
    return "BN" if channels == 1 else str(spec)


def build_gbgn(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    return GhostBatchGroupNorm(channels, dims, spec.samples or 1, group_count(spec))


def regroup(spec: NormSpec) -> int | None:
    value = spec.option("regroup")
    return None if value == "none" else int(value)


def iln_divisor(spec: NormSpec) -> int:
    return regroup(spec) or 1


def iln_canonical(spec: NormSpec, channels: int) -> str:
    return "IN" if channels in (1, regroup(spec)) else str(spec)


def iln_cure(spec: NormSpec, fitting: list[int]) -> str:
    gate = f"gate={spec.option('gate')}," if spec.option("gate") != "sigmoid" else ""
    return f"ILN({gate}regroup=none) or a regroup out of " + ", ".join(map(str, fitting))


def build_iln(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    return InstanceLayerNorm(channels, dims, gate=spec.option("gate"), regroup=regroup(spec))
