"""Norm specs: the text that names a norm, its canonical form for a slot, and the norm it builds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import nn

from normsearch.errors import NormError, did_you_mean
from normsearch.norms.batch_instance import BatchInstanceNorm
from normsearch.norms.instance_layer import InstanceLayerNorm
from normsearch.norms.standard import NoNorm, batch_norm, group_norm, instance_norm
from normsearch.norms.switchable import SwitchableNorm

_SPEC = re.compile(r"(?P<kind>[A-Za-z]+)(-(?P<groups>[1-9][0-9]*))?(\((?P<options>[^()]+)\))?")
_WHOLE = re.compile(r"[1-9][0-9]*")
_ANY_NUMBER = "G"  # stands for any whole number from 1 on, among an option's values


@dataclass(frozen=True)
class NormSpec:
    """A norm and its settings: ``GN-8`` is ``NormSpec("GN", 8)``. Equal specs are equal objects.

    Args:
        kind: a key of `NORMS`.
        groups: the number of channel groups, for GN only.
        options: (name, value) pairs of text; sorted, and without those that say the default.

    Raises:
        NormError: unknown kind, missing or needless groups, unknown option or value.

    >>> str(NormSpec.parse("ILN(regroup=16,gate=clip)"))
    'ILN(gate=clip)'
    >>> str(NormSpec.parse("GN-16").canonical(16))
    'IN'
    """

    kind: str
    groups: int | None = None
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in NORMS:
            raise NormError(_unknown(self.kind))
        if NORMS[self.kind].grouped and (self.groups is None or self.groups < 1):
            raise NormError(
                f"{self.kind} needs a number of groups, such as {self.kind}-8, got {self.groups}"
            )
        if not NORMS[self.kind].grouped and self.groups is not None:
            raise NormError(f"{self.kind} takes no number of groups, got {self.groups}")
        defaults = {name: values[0] for name, values in NORMS[self.kind].options.items()}
        for name, value in self.options:
            _check_option(self.kind, name, value)
        if len(dict(self.options)) < len(self.options):
            given = ", ".join(f"{name}={value}" for name, value in self.options)
            raise NormError(f"{self.kind} takes each option once, got {given}")
        kept = sorted((name, value) for name, value in self.options if value != defaults[name])
        object.__setattr__(self, "options", tuple(kept))

    @classmethod
    def parse(cls, text: str) -> NormSpec:
        """Read a spec such as ``BN``, ``GN-8`` or ``ILN(gate=clip,regroup=none)``.

        Raises:
            NormError: the text is no spec; the message lists the known ones and the likely one.
        """
        if text.count("(") > text.count(")"):
            cure = "in a YAML list, put a spec that holds a comma in quotes"
            raise NormError(f"must end with the parenthesis that it opened, got {text!r}; {cure}")
        found = _SPEC.fullmatch(text)
        if found is None or found["kind"] not in NORMS:
            raise NormError(_unknown(text))
        options = []
        for part in (found["options"] or "").split(",") if found["options"] else ():
            name, equals, value = part.strip().partition("=")
            if not equals:
                raise NormError(f"{text!r}: must have options of the form name=value, got {part!r}")
            options.append((name.strip(), value.strip()))
        groups = int(found["groups"]) if found["groups"] else None
        return cls(found["kind"], groups, tuple(options))

    def __str__(self) -> str:
        """The shortest text that parses to this spec."""
        groups = "" if self.groups is None else f"-{self.groups}"
        options = ",".join(f"{name}={value}" for name, value in self.options)
        return f"{self.kind}{groups}" + (f"({options})" if options else "")

    def option(self, name: str) -> str:
        """The value of an option, the default where the spec does not say."""
        return dict(self.options).get(name, NORMS[self.kind].options[name][0])

    def canonical(self, channels: int) -> NormSpec:
        """The one spec that stands for all that compute the same on a slot of `channels` channels.

        GN-C = IN, GN-1 = LN, ILN regrouped to one channel a group = IN whatever its gate (to 1e-4
        where the variance is far above eps). With one channel LN, GN-1 and ILN are all IN.

        Raises:
            NormError: the spec is infeasible for `channels`.
        """
        self.check(channels)
        return NORMS[self.kind].twin(self, channels)

    def check(self, channels: int) -> None:
        """Raise NormError, with the cure, where this norm does not fit `channels` channels."""
        if channels < 1:
            raise NormError(f"{self} needs at least one channel, got {channels}")
        divisor = NORMS[self.kind].divisor(self)
        if channels % divisor:
            fitting = [number for number in range(1, channels + 1) if channels % number == 0]
            cure = NORMS[self.kind].cure(self, fitting)
            raise NormError(
                f"{self} needs a channel count that {divisor} divides, got {channels}; use {cure}"
            )

    def feasible(self, channels: int) -> bool:
        """Whether `check` passes: infeasible choices are left out of a search."""
        return channels >= 1 and channels % NORMS[self.kind].divisor(self) == 0


Builder: TypeAlias = Callable[[NormSpec, int, int], nn.Module]


def _one(spec: NormSpec) -> int:
    return 1


def _itself(spec: NormSpec, channels: int) -> NormSpec:
    return spec


def _listed(spec: NormSpec, fitting: list[int]) -> str:
    return "one of " + ", ".join(f"{spec.kind}-{number}" for number in fitting)


@dataclass(frozen=True)
class NormKind:
    """What the spec language knows of one kind of norm: all that a new kind has to say.

    Args:
        summary: one line on what it is.
        build: makes the module from (spec, channels, dims).
        grouped: whether the spec takes a number of groups, as GN-8 does.
        options: the values each option may take, the default first; "G" means any whole number.
        divisor: the number that must divide the channels.
        twin: the canonical form of a feasible spec for a number of channels.
        cure: what to use instead, given the numbers that do divide the channels.
    """

    summary: str
    build: Builder
    grouped: bool = False
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    divisor: Callable[[NormSpec], int] = _one
    twin: Callable[[NormSpec, int], NormSpec] = _itself
    cure: Callable[[NormSpec, list[int]], str] = _listed


def _gn_divisor(spec: NormSpec) -> int:
    return spec.groups or 1


def _gn_twin(spec: NormSpec, channels: int) -> NormSpec:
    # LN comes here as well, without groups. IN is asked first: with one channel both hold.
    if channels == (spec.groups or 1):
        return NormSpec("IN")
    return NormSpec("LN") if (spec.groups or 1) == 1 else spec


def _regroup(spec: NormSpec) -> int | None:
    value = spec.option("regroup")
    return None if value == "none" else int(value)


def _iln_divisor(spec: NormSpec) -> int:
    return _regroup(spec) or 1


def _iln_twin(spec: NormSpec, channels: int) -> NormSpec:
    return NormSpec("IN") if channels in (1, _regroup(spec)) else spec


def _iln_cure(spec: NormSpec, fitting: list[int]) -> str:
    gate = tuple(pair for pair in spec.options if pair[0] == "gate")
    free = NormSpec("ILN", None, (*gate, ("regroup", "none")))
    return f"{free} or a regroup out of " + ", ".join(map(str, fitting))


def _build_iln(spec: NormSpec, channels: int, dims: int) -> nn.Module:
    return InstanceLayerNorm(channels, dims, gate=spec.option("gate"), regroup=_regroup(spec))


NORMS: dict[str, NormKind] = {
    "none": NormKind("no normalization", lambda spec, channels, dims: NoNorm(channels, dims)),
    "BN": NormKind(
        "Batch Normalization: over the batch and space, per channel",
        lambda spec, channels, dims: batch_norm(channels, dims),
    ),
    "IN": NormKind(
        "Instance Normalization: over space, per sample and channel",
        lambda spec, channels, dims: instance_norm(channels, dims),
    ),
    "LN": NormKind(
        "Layer Normalization: over channels and space, per sample",
        lambda spec, channels, dims: group_norm(1, channels),
        twin=_gn_twin,
    ),
    "GN": NormKind(
        "Group Normalization: over space and one of G groups of channels, per sample (GN-8: G = 8)",
        lambda spec, channels, dims: group_norm(spec.groups or 1, channels),
        grouped=True,
        divisor=_gn_divisor,
        twin=_gn_twin,
    ),
    "BIN": NormKind(
        "Batch-Instance Normalization: a learnt mixture of BN and IN per channel",
        lambda spec, channels, dims: BatchInstanceNorm(channels, dims),
    ),
    "ILN": NormKind(
        "Instance-Layer Normalization: a learnt mixture of IN and LN, regrouped by GN-16",
        _build_iln,
        options={"gate": ("sigmoid", "clip", "softmax"), "regroup": ("16", "none", _ANY_NUMBER)},
        divisor=_iln_divisor,
        twin=_iln_twin,
        cure=_iln_cure,
    ),
    "SN": NormKind(
        "Switchable Normalization: learnt mixtures of the means and variances of IN, LN and BN",
        lambda spec, channels, dims: SwitchableNorm(channels, dims),
    ),
}


def build_norm(spec: str | NormSpec, channels: int, dims: int) -> nn.Module:
    """Build the norm that `spec` says, to the letter: GN-C is a GroupNorm, though IN is its twin.

    Args:
        spec: a spec or its text.
        channels: C of the (N, C, *spatial) tensors it will see.
        dims: the number of spatial axes: 1, 2 or 3.

    Returns:
        A module from (N, C, *spatial) to the same shape, weight 1 and bias 0, on the CPU. In
        training torch's own BN raises ValueError at one value a channel, and IN at one pixel.

    Raises:
        NormError: unknown or infeasible spec, or dims out of range.

    >>> build_norm("ILN(gate=clip)", channels=32, dims=2).importance()
    {'gate': {'IN': 0.5, 'LN': 0.5}}
    """
    wanted = NormSpec.parse(spec) if isinstance(spec, str) else spec
    if dims not in (1, 2, 3):
        raise NormError(f"{wanted} needs 1, 2 or 3 spatial axes, got {dims}")
    wanted.check(channels)
    return NORMS[wanted.kind].build(wanted, channels, dims)


def _unknown(text: str) -> str:
    """The message for a text that is no spec, with the spec it is most like."""
    names = ", ".join(f"{kind}-G" if NORMS[kind].grouped else kind for kind in NORMS)
    number = re.search(_WHOLE, text)
    likely = [f"{k}-{number[0] if number else 8}" if NORMS[k].grouped else k for k in NORMS]
    if "(" in text and "=" in text:  # so that iln(gate=clip) is told its right spelling
        tail = text[text.index("(") :]
        likely += [kind + tail for kind in NORMS if NORMS[kind].options]
    return f"must be one of {names}, got {text!r}.{did_you_mean(text, likely)}"


def _check_option(kind: str, name: str, value: str) -> None:
    known = NORMS[kind].options
    if not known:
        raise NormError(f"{kind} takes no options, got {name}={value}")
    if name not in known:
        names = ", ".join(known)
        raise NormError(f"{kind} has the options {names}, got {name!r}.{did_you_mean(name, known)}")
    if value in known[name] and value != _ANY_NUMBER:
        return
    if _ANY_NUMBER in known[name] and _WHOLE.fullmatch(value):
        return
    values = ", ".join("a whole number" if v == _ANY_NUMBER else v for v in known[name])
    likely = did_you_mean(value, [word for word in known[name] if word != _ANY_NUMBER])
    raise NormError(f"{kind}: {name} must be one of {values}, got {value!r}.{likely}")
