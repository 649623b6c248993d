"""Norm specs: the texts that name norms, and their canonical forms."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from torch import nn

from normsearch.errors import NormError, did_you_mean, short
from normsearch.norms.options import MOST, NUMBER, Values, check_option, number, shortest

_LONGEST = 200  # characters of a spec
_SPEC = re.compile(
    rf"(?P<kind>[A-Za-z]+(2d|-[a-z]+|-[A-Z][0-9])?)"
    rf"(-((?P<samples>{NUMBER})x)?(?P<groups>{NUMBER}))?"
    r"(\((?P<options>[^()]+)\))?"
)


Builder: TypeAlias = Callable[["NormSpec", int, int], nn.Module]


def group_count(spec: NormSpec) -> int:
    """Return the number of channel groups of a spec, 1 for a kind without groups."""
    return spec.groups or 1


def _itself(spec: NormSpec, channels: int) -> str:
    return str(spec)


def _no_conflict(options: Mapping[str, str]) -> str:
    return ""


def _listed(spec: NormSpec, fitting: list[int]) -> str:
    head = str(spec)[: str(spec).rindex(str(spec.groups))]
    return "one of " + ", ".join(f"{head}{number}" for number in fitting)


@dataclass(frozen=True)
class NormKind:
    """A kind of norm in the spec language.

    Args:
        summary: one line that describes it.
        build: builds the module from (spec, channels, dims).
        form: the form of its specs if it is not the bare name: ``GN-G``.
        weight: whether it normalizes the weight of the preceding convolution.
        prefix: whether it does only that, and another norm may normalize the output (``WS+GN-8``).
        owns_activation: whether it is its own activation, and none may follow it.
        options: the values of each option, the default first; "G" means any whole number.
        conflict: what is wrong with the given options together, "" if nothing is.
        least: the fewest channels that it can normalize.
        divisor: the number that must divide the channels.
        canonical_form: the text of the canonical form of a feasible spec for a number of channels.
        cure: the suggested alternative, given the divisors of the channels.
    """

    summary: str
    build: Builder
    form: str = ""
    weight: bool = False
    prefix: bool = False
    owns_activation: bool = False
    options: Mapping[str, Values] = field(default_factory=dict)
    conflict: Callable[[Mapping[str, str]], str] = _no_conflict
    least: int = 1
    divisor: Callable[[NormSpec], int] = group_count
    canonical_form: Callable[[NormSpec, int], str] = _itself
    cure: Callable[[NormSpec, list[int]], str] = _listed

    @property
    def grouped(self) -> bool:
        """Whether the spec takes a number of channel groups, as GN-8 does."""
        return self.form.endswith("G")

    @property
    def sampled(self) -> bool:
        """Whether the spec takes a number of samples before that, as GBGN-2x8 does."""
        return self.form.endswith("-SxG")


NORMS: dict[str, NormKind] = {}
"""Kinds of norm by name; `normsearch.norms.registry` fills it."""


@dataclass(frozen=True)
class NormSpec:
    """A norm and its settings: ``GN-8`` is ``NormSpec("GN", 8)``. Equal specs are equal objects.

    Args:
        kind: a key of `NORMS`.
        groups: the number of channel groups, for the kinds that have them (GN, BGN, ...).
        options: (name, value) pairs of text; sorted, without default values.
        samples: the number of samples in a group, for GBGN only.
        follower: for WN and WS, the norm of the convolution's output: the GN-8 of ``WS+GN-8``. None
            and the spec ``none`` are the same.

    Raises:
        NormError: an unknown kind, option or value, a missing or superfluous number, two weight
            norms, or a follower after a kind that takes none.

    >>> str(NormSpec.parse("ILN(regroup=16,gate=clip)"))
    'ILN(gate=clip)'
    >>> str(NormSpec.parse("WS+GN-16").canonical(16))
    'WS+IN'
    """

    kind: str
    groups: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    samples: int | None = None
    follower: NormSpec | None = None

    def __post_init__(self) -> None:
        if self.kind not in NORMS:
            raise NormError(_unknown(self.kind))
        self._check_numbers()
        self._check_follower()
        known = NORMS[self.kind].options
        for name, value in self.options:
            check_option(self.kind, known, name, value)
        if len(dict(self.options)) < len(self.options):
            given = ", ".join(f"{name}={value}" for name, value in self.options)
            raise NormError(f"{self.kind} takes each option once, got {given}")
        if fault := NORMS[self.kind].conflict(dict(self.options)):
            raise NormError(f"{self.kind}: {fault}")
        short_ones = [(name, shortest(value, known[name])) for name, value in self.options]
        kept = sorted((name, value) for name, value in short_ones if value != known[name][0])
        object.__setattr__(self, "options", tuple(kept))

    def _check_numbers(self) -> None:
        kind = NORMS[self.kind]
        if max(self.groups or 0, self.samples or 0) > MOST:
            given = max(self.groups or 0, self.samples or 0)
            raise NormError(f"{self.kind} takes numbers up to {MOST}, got {short(given)}")
        if kind.grouped and (self.groups is None or self.groups < 1):
            example = f"{self.kind}-2x8" if kind.sampled else f"{self.kind}-8"
            raise NormError(
                f"{self.kind} needs a number of groups, such as {example}, got {self.groups}"
            )
        if not kind.grouped and self.groups is not None:
            raise NormError(f"{self.kind} takes no number of groups, got {self.groups}")
        if kind.sampled and (self.samples is None or self.samples < 1):
            raise NormError(
                f"{self.kind} needs samples x groups, such as {self.kind}-2x{self.groups}, "
                f"got {self.groups} alone"
            )
        if not kind.sampled and self.samples is not None:
            raise NormError(
                f"{self.kind} takes no number of samples, got {self.samples}; "
                f"use {self.kind}-{self.groups} or GBGN-{self.samples}x{self.groups}"
            )

    def _check_follower(self) -> None:
        if self.follower is None:
            return
        if not NORMS[self.kind].prefix:
            raise NormError(f"only WN and WS may stand before a +, got {self.kind}+{self.follower}")
        if self.follower.weights is not None:
            last = self.follower.activation
            cure = last if last.weights else f"{self.kind}+{last}"
            raise NormError(
                f"{self.kind} takes a norm of activations after it, got {self.follower}; use {cure}"
            )
        if self.follower.kind == "none":
            object.__setattr__(self, "follower", None)

    @classmethod
    def parse(cls, text: str) -> NormSpec:
        """Read a spec such as ``BN``, ``GN-8``, ``GBGN-2x8``, ``ILN(gate=clip)`` or ``WS+GN-8``.

        Raises:
            NormError: the text is not a spec; the message lists the known forms and the closest.
        """
        if len(text) > _LONGEST:
            raise NormError(
                f"must have at most {_LONGEST} characters, got {len(text)}: {text[:40]!r}..."
            )
        if text.count("(") > text.count(")"):
            cure = "in a YAML list, put a spec that holds a comma in quotes"
            raise NormError(f"must end with the parenthesis that it opened, got {text!r}; {cure}")
        head, plus, tail = text.partition("+")
        found = _SPEC.fullmatch(head)
        if found is None or found["kind"] not in NORMS:
            raise NormError(_unknown(text))
        options = []
        for part in (found["options"] or "").split(",") if found["options"] else ():
            name, equals, value = part.strip().partition("=")
            if not equals:
                raise NormError(f"{text!r}: must have options of the form name=value, got {part!r}")
            options.append((name.strip(), value.strip()))
        groups, samples = (number(found[name]) for name in ("groups", "samples"))
        follower = cls.parse(tail) if plus else None
        return cls(found["kind"], groups, tuple(options), samples, follower)

    def __str__(self) -> str:
        """Return the shortest text that parses to this spec."""
        samples = "" if self.samples is None else f"{self.samples}x"
        groups = "" if self.groups is None else f"-{samples}{self.groups}"
        options = ",".join(f"{name}={value}" for name, value in self.options)
        own = f"{self.kind}{groups}" + (f"({options})" if options else "")
        return own if self.follower is None else f"{own}+{self.follower}"

    def option(self, name: str) -> str:
        """Return the value of an option, or its default."""
        return dict(self.options).get(name) or str(NORMS[self.kind].options[name][0])

    @property
    def weights(self) -> str | None:
        """The norm of the weight of the convolution before the slot: WN, WS, MABN or None."""
        return self.kind if NORMS[self.kind].weight else None

    @property
    def activation(self) -> NormSpec:
        """The norm in the slot itself: the GN-8 of WS+GN-8, none for WN, else this spec."""
        if not NORMS[self.kind].prefix:
            return self
        return self.follower or NormSpec("none")

    @property
    def owns_activation(self) -> bool:
        """Whether the norm in the slot is its own activation, and none may follow it."""
        return NORMS[self.activation.kind].owns_activation

    def canonical(self, channels: int) -> NormSpec:
        """Return the one spec that represents all equivalent ones for `channels` channels.

        GN-C = IN, GN-1 = LN, BGN-C = BN, GBGN-1xG = GN-G. ILN regrouped to one channel per group is
        IN for any gate (to 1e-4 if the variance is far above eps). With one channel LN, GN-1 and
        ILN are all IN. After WN and WS the same holds for the follower.

        Raises:
            NormError: the spec is infeasible for `channels`.
        """
        self.check(channels)
        if NORMS[self.kind].prefix:
            return NormSpec(self.kind, follower=self.activation.canonical(channels))
        return NormSpec.parse(NORMS[self.kind].canonical_form(self, channels))

    def nearest(self, channels: int) -> NormSpec:
        """Return the norm with the nearest number of groups that divides `channels`.

        Nearest by ratio, the smaller number in a tie; a feasible spec is returned unchanged. GN-16
        on 8 channels gives GN-8, GN-4 on 6 channels GN-3, ILN (which regroups to 16) on 8 channels
        ILN(regroup=8). On one channel, which LN2d would make 0, it gives IN, as LN is IN there.
        """
        if self.feasible(channels):
            return self
        if NORMS[self.kind].prefix:
            return replace(self, follower=self.activation.nearest(channels))
        if channels < NORMS[self.kind].least:
            return NormSpec("IN")
        wanted = NORMS[self.kind].divisor(self)
        fitting = (number for number in range(1, channels + 1) if channels % number == 0)
        groups = min(fitting, key=lambda number: (abs(math.log(number / wanted)), number))
        if NORMS[self.kind].grouped:
            return replace(self, groups=groups)
        options = dict(self.options) | {"regroup": str(groups)}
        return replace(self, options=tuple(options.items()))

    def check(self, channels: int) -> None:
        """Raise NormError, with an alternative, unless this norm fits `channels` channels."""
        if channels < 1:
            raise NormError(f"{self} needs at least one channel, got {channels}")
        part = self.activation
        if channels < NORMS[part.kind].least:
            raise NormError(
                f"{part} needs at least {NORMS[part.kind].least} channels, got {channels}; use IN"
            )
        divisor = NORMS[part.kind].divisor(part)
        if channels % divisor:
            fitting = [number for number in range(1, channels + 1) if channels % number == 0]
            cure = NORMS[part.kind].cure(part, fitting)
            raise NormError(
                f"{part} needs a channel count that {divisor} divides, got {channels}; use {cure}"
            )

    def feasible(self, channels: int) -> bool:
        """Return whether `check` passes; a search leaves out infeasible choices."""
        part = self.activation
        kind = NORMS[part.kind]
        return channels >= kind.least and channels % kind.divisor(part) == 0


def _unknown(text: str) -> str:
    """Return the message for a text that is not a spec, with the closest spec."""
    forms = [norm.form or kind for kind, norm in NORMS.items()]
    numbers = re.findall(NUMBER, text)
    group = numbers[-1] if numbers else "8"
    sample = numbers[0] if len(numbers) > 1 else "2"
    likely = [
        form.replace("-SxG", f"-{sample}x{group}").replace("-G", f"-{group}") for form in forms
    ]
    if "(" in text and "=" in text:  # to suggest ILN(gate=clip) for iln(gate=clip)
        tail = text[text.index("(") :].rstrip(")") + ")"
        likely += [kind + tail for kind in NORMS if NORMS[kind].options]
    if "+" in text:
        weights = [kind for kind, norm in NORMS.items() if norm.prefix]
        likely = [f"{kind}+{norm}" for kind in weights for norm in likely]
    return f"must be one of {', '.join(forms)}, got {text!r}.{did_you_mean(text, likely)}"
