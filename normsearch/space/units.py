"""The units of a space: slots with one common choice of norm, and the choices of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normsearch.errors import ConfigError
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec
from normsearch.space.candidates import effective, fits


@dataclass(frozen=True)
class Unit:
    """Slots with one common choice, and the choices that are feasible and distinct there."""

    name: str
    slots: tuple[NormSlot, ...]
    choices: tuple[str, ...]

    def choice_of(self, text: str) -> str | None:
        """Return the choice that is the same norm as `text` in every slot, if any."""
        wanted = _effective(text, self.slots)
        return self._same_as(wanted) if wanted else None

    def substitute(self, text: str) -> str | None:
        """Return `choice_of`, else the choice of its family with the nearest number of groups."""
        if (same := self.choice_of(text)) is not None:
            return same
        if _effective(text, self.slots) is None:
            return None
        related = [choice for choice in self.choices if _related(text, choice)]
        wanted = _groups(text, self.slots[0].channels)
        return min(
            related,
            key=lambda c: abs(math.log(_groups(c, self.slots[0].channels) / wanted)),
            default=None,
        )

    def choice_in(self, norm_map: Mapping[str, str]) -> str | None:
        """Return the choice that an effective norm map has in these slots, if any."""
        return self._same_as(tuple(norm_map.get(slot.name, "") for slot in self.slots))

    def _same_as(self, wanted: tuple[str, ...]) -> str | None:
        return next((c for c in self.choices if _effective(c, self.slots) == wanted), None)


def units_of(
    slots: Sequence[NormSlot], per: str, candidates: Mapping[str, tuple[str, ...]], origin: str
) -> tuple[Unit, ...]:
    """Return the units of a network's slots, in order of depth.

    Args:
        slots: the network's slots, in order of depth.
        per: ``layer``, ``block``, ``stage`` or ``network``.
        candidates: the candidate norms of each slot, by its name.
        origin: prefix of the space's keys in messages.

    Raises:
        ConfigError: a unit has no choice.
    """
    members: dict[str, list[NormSlot]] = {}
    for slot in slots:
        name = {"layer": slot.name, "block": slot.block, "stage": slot.stage}.get(per, "network")
        members.setdefault(name, []).append(slot)
    return tuple(_unit(name, those, candidates, origin) for name, those in members.items())


def _unit(
    name: str, slots: list[NormSlot], candidates: Mapping[str, tuple[str, ...]], origin: str
) -> Unit:
    lists = [candidates[slot.name] for slot in slots]
    texts = [text for text in lists[0] if all(text in others for others in lists)]
    fitting = [t for t in texts if any(fits(NormSpec.parse(t), slot) for slot in slots)]
    distinct: dict[tuple[str, ...], str] = {}
    for text in fitting:
        if (wanted := _effective(text, slots)) is not None:
            distinct.setdefault(wanted, text)
    # A norm that fits none of these slots becomes the nearest one that does, so that it stays in
    # the comparison of single norms, unless a norm of its family is among the choices.
    for text in texts:
        wanted = _effective(text, slots)
        if wanted and not any(_related(text, other) for other in distinct.values()):
            distinct.setdefault(wanted, wanted[0] if len(set(wanted)) == 1 else text)
    if not distinct:
        channels = ", ".join(str(count) for count in sorted({slot.channels for slot in slots}))
        given = ", ".join(texts) or "choices by slot that have none in common"
        raise ConfigError(
            f"{origin}norm.choices: must hold at least one norm for {name} "
            f"({channels} channels), got {given}; add none, BN, IN or LN."
        )
    return Unit(name, tuple(slots), tuple(distinct.values()))


def _effective(text: str, slots: Sequence[NormSlot]) -> tuple[str, ...] | None:
    found = [effective(text, slot) for slot in slots]
    return None if None in found else tuple(filter(None, found))


def _related(text: str, other: str) -> bool:
    """Whether two specs differ at most in the number of groups."""
    return _family(NormSpec.parse(text)) == _family(NormSpec.parse(other))


def _family(spec: NormSpec) -> tuple[str | None, str]:
    kind = spec.activation.kind
    return spec.weights, "GN" if kind in ("IN", "LN") else kind  # GN-C and GN-1


def _groups(text: str, channels: int) -> int:
    """Return the number of groups of a norm of GN's family with so many channels."""
    part = NormSpec.parse(text).activation
    return {"IN": channels, "LN": 1}.get(part.kind, part.groups or channels)
