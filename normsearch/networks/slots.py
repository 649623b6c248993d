"""Norm slots: finds and replaces the norms of any network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from normsearch.errors import NetworkError, NormError, did_you_mean
from normsearch.networks.convolutions import conv_before, link_priors, spatial_axes
from normsearch.networks.following import Following
from normsearch.networks.token_norm import TokenNorm, token_channels
from normsearch.norms import (
    NORMS,
    WEIGHT_NORMS,
    BatchKalmanNorm,
    Norm,
    NormSpec,
    OwnsActivation,
    build_norm,
    check_weight_norm,
    set_weight_norm,
    weight_norm_of,
    weight_norms_for,
)

NORM_KINDS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, Norm)
_INPUT_AXES = {"1d": 1, "2d": 2, "3d": 3}  # the end of a torch norm's class name


@dataclass(frozen=True)
class NormSlot:
    """One place of normalization.

    Args:
        name: the module's path, such as ``enc1.conv1.norm``; the globs of a norm map match it.
        channels: the number of channels.
        dims: the number of spatial axes.
        spec: the canonical spec of the current norm.
        block: the block it belongs to, such as ``enc1``.
        stage: the coarser part of the network, such as ``level1`` (a resolution).
        weight_norms: which of WN, WS and MABN the preceding convolution supports; none without one.
        activation: whether a known activation follows, which a norm such as FRN can replace.
    """

    name: str
    channels: int
    dims: int
    spec: str
    block: str
    stage: str
    weight_norms: tuple[str, ...] = field(default=tuple(WEIGHT_NORMS), compare=False)
    activation: bool = field(default=True, compare=False)


@runtime_checkable
class PlacesSlots(Protocol):
    """A network that defines the block and the stage of its slots."""

    def slot_place(self, name: str) -> tuple[str, str]:
        """Return the (block, stage) of the slot at path `name`."""
        ...


def list_norms(net: nn.Module) -> list[NormSlot]:
    """Find the norm slots of a network: torch's BatchNorm, InstanceNorm, GroupNorm, and our own.

    Slots are in order of registration. A module registered under several paths is one slot, named
    by its first path. A LayerNorm (in transformers) is a slot only after a norm map replaced it. An
    IN counts as IN with or without weights. The block of a slot is its parent's path, and the stage
    the first part of its path, unless the network defines them (see PlacesSlots).

    A GroupNorm does not know its number of spatial axes; it is that of the last convolution
    registered before it or, if there is none, of the first one after it.

    A weight norm (torch's parametrization, or our WS) of the convolution registered directly
    before a slot, with as many output channels, is part of its spec: ``WS+GN-8``, ``WN``.
    `Following` decides whether an activation is known to follow a slot.

    Raises:
        NetworkError: a GroupNorm in a network without convolutions, or a lazy norm before its
            first run.
    """
    following = Following(net)
    return [replace(one, activation=_followed(net, one, following)) for one in _slots(net)]


def _slots(net: nn.Module) -> list[NormSlot]:
    """Return `list_norms` without `activation`, which costs a trace of the modules."""
    slots = []
    for name, module in norm_modules(net).items():
        spec, channels = _read(name, module)
        conv = conv_before(net, module, channels)
        weights = None if conv is None else weight_norm_of(conv)
        if weights is not None and NORMS[weights].prefix:
            spec = NormSpec(weights, follower=spec)
        block, stage = _place(net, name)
        dims = _dims(net, name, module)
        text, takes = str(spec.canonical(channels)), weight_norms_for(conv)
        slots.append(NormSlot(name, channels, dims, text, block, stage, takes))
    return slots


def _followed(net: nn.Module, slot: NormSlot, following: Following) -> bool:
    """Return whether a known activation follows a slot; none follows the tokens of a LayerNorm."""
    module = net.get_submodule(slot.name)
    return not isinstance(module, nn.LayerNorm | TokenNorm) and following.known(module)


def apply_norm_map(net: nn.Module, norm_map: Mapping[str, str | NormSpec]) -> dict[str, str]:
    """Replace the norm of every slot that a glob of `norm_map` matches, in place.

    Globs match slot names (`*` also matches dots), and later globs override earlier ones. Slots
    that no glob matches keep their norm. A new norm is built from the canonical form of its spec
    with weight 1 and bias 0, on the device and in the dtype of the old one, and replaces it under
    all its paths. If any entry is invalid, nothing is replaced. Call it before the network is
    passed to an optimizer, DistributedDataParallel or torch.compile.

    A LayerNorm is replaced only if a glob that matches no norm slot names it, such as its path, or
    ``*.norm1`` if only LayerNorms have this name. The new norm treats tokens as pixels (see
    TokenNorm), and is a norm slot from then on.

    WN, WS and MABN parametrize the weight of the convolution registered directly before the slot
    (dropout may lie between). If another norm replaces them, the weight becomes a plain parameter
    with the effective values. FRN and EvoNorm replace the activation behind the slot too, which
    another norm in their place brings back.

    Returns:
        The canonical spec of every slot of the network, by name: the effective norm map.

    Raises:
        NetworkError: a glob matches no slot.
        NormError: a spec is unknown, or infeasible for a slot, which the message names; or WN, WS
            or MABN for a slot without a convolution directly before it, or FRN or EvoNorm for one
            without a known activation behind it.
    """
    slots, following = [*_slots(net), *_named_layer_norms(net, norm_map)], Following(net)
    wanted = _resolve(slots, norm_map, lambda slot: _followed(net, slot, following))
    chosen = [slot for slot in slots if slot.name in wanted]
    built = {s.name: _build(net, s, wanted[s.name]) for s in chosen}
    convs = {s.name: _convolution(net, s, wanted[s.name]) for s in chosen}
    for name, conv in convs.items():
        if conv is not None:
            set_weight_norm(conv, wanted[name].weights)
    for name, new in built.items():
        replace_norm(net, name, new, following)
    link_priors(net)
    return {slot.name: str(wanted.get(slot.name, slot.spec)) for slot in slots}


def replace_norm(
    net: nn.Module, name: str, new: nn.Module, following: Following | None = None
) -> None:
    """Replace the norm at path `name` under all its paths, on its device and in its dtype.

    An activation that the new norm owns is left out, one that the old norm owned returns.
    `following` is of `net`; replacing several norms with the same one traces each module once.
    """
    old = net.get_submodule(name)
    if isinstance(old, OwnsActivation) or isinstance(new, OwnsActivation):
        (following or Following(net)).hand_over(old, new)
    if isinstance(old, BatchKalmanNorm):
        old.unlink()
    device, dtype = _device_and_dtype(net, old)
    new.to(device, dtype).train(old.training)
    for path in _aliases(net, old):
        parent, _, key = path.rpartition(".")
        setattr(net.get_submodule(parent), key, new)


def norm_modules(net: nn.Module) -> dict[str, nn.Module]:
    """Return every norm module but `net` itself by its first path, in registration order."""
    inner = {module.norm for module in net.modules() if isinstance(module, TokenNorm)}
    found = {name: norm for name, norm in net.named_modules() if isinstance(norm, NORM_KINDS)}
    return {name: norm for name, norm in found.items() if name and norm not in inner}


def _named_layer_norms(net: nn.Module, norm_map: Iterable[str]) -> list[NormSlot]:
    """Return the LayerNorms that globs match which match no norm slot."""
    slots = norm_modules(net)
    layers = [name for name, norm in net.named_modules() if isinstance(norm, nn.LayerNorm)]
    globs = [glob for glob in norm_map if not any(fnmatchcase(name, glob) for name in slots)]
    named = [name for name in layers if any(fnmatchcase(name, glob) for glob in globs)]
    return [NormSlot(name, token_channels(net, name), 1, "", *_place(net, name)) for name in named]


def _build(net: nn.Module, slot: NormSlot, spec: NormSpec) -> nn.Module:
    """Return the new norm of a slot; in the place of a LayerNorm, as a TokenNorm."""
    if isinstance(net.get_submodule(slot.name), nn.LayerNorm | TokenNorm):
        return TokenNorm(spec, slot.channels)
    return build_norm(spec, slot.channels, slot.dims)


def _aliases(net: nn.Module, norm: nn.Module) -> list[str]:
    """Return all paths under which a module is registered."""
    return [path for path, one in net.named_modules(remove_duplicate=False) if one is norm]


def _read(name: str, norm: nn.Module) -> tuple[NormSpec, int]:
    """Return the spec and the channels of the norm in a slot."""
    if isinstance(norm, Norm):
        return NormSpec.parse(norm.spec_text), norm.channels
    if isinstance(norm, nn.GroupNorm):
        return NormSpec("GN", norm.num_groups), norm.num_channels
    channels = int(str(getattr(norm, "num_features", 0)))
    if channels < 1:
        raise NetworkError(f"{name}: must know its channels; run a batch through the network first")
    if isinstance(norm, _InstanceNorm):
        tracked = (("track", "true"),) if norm.track_running_stats else ()
        return NormSpec("IN", options=tracked), channels
    return NormSpec("BN"), channels


def _dims(net: nn.Module, name: str, norm: nn.Module) -> int:
    if isinstance(norm, Norm):
        return norm.dims
    by_name = _INPUT_AXES.get(type(norm).__name__[-2:])
    if by_name is not None:
        return by_name
    nearest: int | None = None
    passed = False
    for module in net.modules():
        passed = passed or module is norm
        nearest = spatial_axes(module) or nearest
        if passed and nearest is not None:
            return nearest
    raise NetworkError(f"{name}: must have a convolution in its network to tell its spatial axes")


def _place(net: nn.Module, name: str) -> tuple[str, str]:
    if isinstance(net, PlacesSlots):
        return net.slot_place(name)
    return name.rpartition(".")[0], name.partition(".")[0]


def _resolve(
    slots: list[NormSlot],
    norm_map: Mapping[str, str | NormSpec],
    followed: Callable[[NormSlot], bool],
) -> dict[str, NormSpec]:
    """Return the canonical spec of each slot that a glob matches; see `_followed`."""
    wanted: dict[str, NormSpec] = {}
    for glob, given in norm_map.items():
        spec = NormSpec.parse(given) if isinstance(given, str) else given
        matched = [slot for slot in slots if fnmatchcase(slot.name, glob)]
        if not matched:
            likely = did_you_mean(glob, [slot.name for slot in slots])
            raise NetworkError(
                f"norm map: a glob must match one of the {len(slots)} norm slots, "
                f"got {glob!r}.{likely}"
            )
        for slot in matched:
            try:
                wanted[slot.name] = spec.canonical(slot.channels)
            except NormError as error:
                raise NormError(f"{slot.name}: {error}") from error
            if spec.owns_activation and not followed(slot):
                raise NormError(
                    f"{slot.name}: {spec} is its own activation and needs a known one (such as "
                    "nn.ReLU) called directly behind the norm to replace, and there is none; use "
                    "another norm here"
                )
    return wanted


def _convolution(net: nn.Module, slot: NormSlot, spec: NormSpec) -> _ConvNd | None:
    """Return the convolution before a slot, or None; check that it supports the spec."""
    conv = conv_before(net, net.get_submodule(slot.name), slot.channels)
    if conv is None and spec.weights is not None:
        raise NormError(
            f"{slot.name}: {spec} needs a convolution to {slot.channels} channels registered "
            f"directly before the norm, and there is none; use {_without_weights(spec)} here"
        )
    if conv is not None:
        try:
            check_weight_norm(conv, spec.weights)
        except NormError as error:
            raise NormError(f"{slot.name}: {error}") from error
    return conv


def _without_weights(spec: NormSpec) -> str:
    return str(spec.activation) if spec.activation.weights is None else "another norm"


def _device_and_dtype(net: nn.Module, old: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return device and dtype of a norm or, if it has no tensors, of the network."""
    for module in (old, net):
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
    return torch.get_default_device(), torch.get_default_dtype()
