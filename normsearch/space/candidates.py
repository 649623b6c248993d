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
    found: dict[str, tuple[str, ...]] = {}
    for where, choices, matched in lists:
        texts = _expand(norm, choices, where, matched, origin)
        found.update({slot.name: texts for slot in matched})
    bare = [slot.name for slot in slots if not found[slot.name]]
    if bare:
        raise ConfigError(
            f"{origin}norm.choices: must be given for the slots that no glob of by_slot matches, "
            f"such as {bare[0]}, and is not."
        )
    return found


def groups_left_out(norm: NormSpace, slots: Sequence[NormSlot]) -> list[int]:
    """Return the numbers of groups for ``GN`` that divide the channels of no slot."""
    if not any("GN" in choices for choices in (norm.choices, *norm.by_slot.values())):
        return []
    return [count for count in norm.groups if not any(s.channels % count == 0 for s in slots)]


def _expand(
    norm: NormSpace, choices: Sequence[str], key: str, slots: Sequence[NormSlot], origin: str
) -> tuple[str, ...]:
    """Return the specs of a list of choices; ``GN`` becomes the group norms that fit a slot."""
    texts: list[str] = []
    for index, choice in enumerate(choices):
        if choice == "GN":
            group_norms = [f"GN-{count}" for count in norm.groups]
            texts += [t for t in group_norms if any(fits(NormSpec.parse(t), s) for s in slots)]
        else:
            spec = NormSpec.parse(choice)
            _check(spec, slots, f"{origin}{key}[{index}]", choice)
            texts.append(str(spec))
    if not texts and choices and norm.groups:
        raise _fits_no_slot(f"{origin}norm.groups[0]", slots, norm.groups[0])
    return tuple(dict.fromkeys(texts))


def _check(spec: NormSpec, slots: Sequence[NormSlot], where: str, given: str) -> None:
    """Raise ConfigError if a norm fits none of the slots.

    A norm whose default number of groups fits none, such as ILN on 8 channels, passes: it gets the
    nearest number that does.
    """
    if not any(spec.weights in (None, *slot.weight_norms) for slot in slots):
        use = spec.activation if spec.activation.weights is None else "another norm"
        raise ConfigError(
            f"{where}: must have a convolution directly before at least one slot, got {given}; "
            f"use {use}."
        )
    if spec.owns_activation and not any(slot.activation for slot in slots):
        raise ConfigError(
            f"{where}: must have a known activation (such as nn.ReLU) called directly behind at "
            f"least one slot, which {spec.activation} replaces, got {given}; use another norm."
        )
    by_default = not any(char.isdigit() for char in given)
    if not by_default and not any(fits(spec, slot) for slot in slots):
        raise _fits_no_slot(where, slots, given)


def _fits_no_slot(where: str, slots: Sequence[NormSlot], given: object) -> ConfigError:
    counts = ", ".join(map(str, sorted({slot.channels for slot in slots})))
    return ConfigError(
        f"{where}: must fit the channels of at least one slot ({counts}), got {given}; choose a "
        "group count that divides one of them."
    )


def effective(text: str, slot: NormSlot) -> str | None:
    """Return the canonical spec that a slot gets if `text` is chosen, None if it cannot have it.

    If the number of groups does not divide the channels, the nearest one that does is used
    (`NormSpec.nearest`). Without a convolution directly before the slot, only the norm after WN or
    WS is kept; WN, WS and MABN by themselves are not possible there, nor FRN and EvoNorm without a
    known activation behind it.
    """
    spec = NormSpec.parse(text)
    if spec.owns_activation and not slot.activation:
        return None
    if spec.weights not in (None, *slot.weight_norms):
        spec = spec.activation
        if spec.kind == "none" or spec.weights is not None:
            return None
    return str(spec.nearest(slot.channels).canonical(slot.channels))


def fits(spec: NormSpec, slot: NormSlot) -> bool:
    """Whether a norm fits a slot's channels, the convolution before and the activation behind."""
    weights = spec.weights is None or spec.weights in slot.weight_norms
    activation = slot.activation or not spec.owns_activation
    return weights and activation and spec.feasible(slot.channels)
