"""The candidate norms of each slot: a space's choices and those by slot, with groups expanded."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from normsearch.config import NormSpace
from normsearch.errors import ConfigError, did_you_mean
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec


def candidates_by_slot(
    norm: NormSpace, slots: Sequence[NormSlot], origin: str
) -> dict[str, tuple[str, ...]]:
    """Return the candidate specs of each slot, feasible there or not, by the slot's name.

    Raises:
        ConfigError: a glob matches no slot, a slot has no choices, or a choice fits none of its
            slots; `origin` is the prefix of the key.
    """
    lists = [("norm.choices", norm.choices, list(slots))]
    for glob, choices in norm.by_slot.items():
        matched = [slot for slot in slots if fnmatchcase(slot.name, glob)]
        if not matched:
            hint = did_you_mean(glob, [slot.name for slot in slots])
            raise ConfigError(
                f"{origin}norm.by_slot.{glob}: must match one of the {len(slots)} norm slots, "
                f"and matches none.{hint}"
            )
        lists.append((f"norm.by_slot.{glob}", choices, matched))
    offers: dict[str, tuple[str, ...]] = {}
    for where, choices, matched in lists:
        texts = _expand(norm, choices, where, matched, origin)
        offers.update({slot.name: texts for slot in matched})
    bare = [slot.name for slot in slots if not offers[slot.name]]
    if bare:
        raise ConfigError(
            f"{origin}norm.choices: must be given for the slots that no glob of by_slot matches, "
            f"such as {bare[0]}, and is not."
        )
    return offers


def _expand(
    norm: NormSpace, choices: Sequence[str], key: str, slots: Sequence[NormSlot], origin: str
) -> tuple[str, ...]:
    channels = sorted({slot.channels for slot in slots})
    counts = ", ".join(map(str, channels))
    texts: list[str] = []
    for index, choice in enumerate(choices):
        group_specs = [(f"GN-{g}", f"norm.groups[{i}]", g) for i, g in enumerate(norm.groups)]
        named = group_specs if choice == "GN" else [(choice, f"{key}[{index}]", choice)]
        for text, where, given in named:
            spec = NormSpec.parse(text)
            if not any(spec.weights in (None, *slot.weight_norms) for slot in slots):
                raise ConfigError(
                    f"{origin}{where}: must have a convolution directly before at least one slot, "
                    f"got {given}; use {spec.activation}."
                )
            if not any(fits(spec, slot) for slot in slots):
                raise ConfigError(
                    f"{origin}{where}: must fit the channels of at least one slot "
                    f"({counts}), got {given}; choose a group count that divides one of them."
                )
            if str(spec) not in texts:
                texts.append(str(spec))
    return tuple(texts)


def effective(text: str, slot: NormSlot) -> str | None:
    """Return the canonical spec that a slot gets if `text` is chosen, None if it cannot have it.

    If the number of groups does not divide the channels, the nearest one that does is used
    (`NormSpec.nearest`). Without a convolution directly before the slot, only the norm after WN or
    WS is kept; WN and WS by themselves are not possible there.
    """
    spec = NormSpec.parse(text)
    if spec.weights not in (None, *slot.weight_norms):
        spec = spec.activation
        if spec.kind == "none":
            return None
    return str(spec.nearest(slot.channels).canonical(slot.channels))


def fits(spec: NormSpec, slot: NormSlot) -> bool:
    """Whether a norm fits a slot's channels and, for WN and WS, the convolution before it."""
    weights = spec.weights is None or spec.weights in slot.weight_norms
    return weights and spec.feasible(slot.channels)
