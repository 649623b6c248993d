"""What a trial may choose, as define-by-run questions to an Optuna trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from normsearch.config import SpaceConfig
from normsearch.errors import ConfigError
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec


class Asker(Protocol):
    """The part of `optuna.trial.Trial` that a space asks."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of `choices`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a float from `low` to `high`."""


@dataclass(frozen=True)
class Choice:
    """One resolved choice: the effective spec of every slot, learning rate, batch size."""

    norm_map: dict[str, str]
    learning_rate: float
    batch_size: int


@dataclass(frozen=True)
class Unit:
    """Slots that choose together, and the choices that are feasible and distinct there."""

    name: str
    slots: tuple[NormSlot, ...]
    choices: tuple[str, ...]

    def choice_of(self, text: str) -> str | None:
        """Return the offered choice that is the same norm as `text` in every slot, if any."""
        wanted = _effective(text, self.slots)
        return next((c for c in self.choices if _effective(c, self.slots) == wanted), None)


class Space:
    """A study's space on a network's slots.

    Every unit (a layer, block, stage or the network) offers only what its channels (and, for WN and
    WS, the convolutions before) allow, and of equivalent choices (GN-C is IN) only the one named
    first.

    Args:
        config: the space as the study states it.
        slots: the network's slots, in order of depth.
        origin: what stands before a key of the space in messages (``studies/lv.yaml: space.``).

    Raises:
        ConfigError: a choice fits no slot, or a unit is left without any.
    """

    def __init__(self, config: SpaceConfig, slots: Sequence[NormSlot], origin: str) -> None:
        self.config, self.slots = config, tuple(slots)
        self.texts = _expand(config, self.slots, origin)
        self.units = tuple(
            _unit(name, members, self.texts, origin)
            for name, members in _grouped(self.slots, config.norm.per).items()
        )

    def suggest(self, trial: Asker) -> Choice:
        """Ask `trial` for one value of each parameter; a trial asked again answers the same."""
        norm_map: dict[str, str] = {}
        for unit in self.units:
            text = trial.suggest_categorical(f"norm.{unit.name}", list(unit.choices))
            norm_map.update(
                {
                    slot.name: str(NormSpec.parse(text).canonical(slot.channels))
                    for slot in unit.slots
                }
            )
        rate, batch = self.config.learning_rate, self.config.batch_size
        if rate.choices is None:
            low, high = rate.low or 0.0, rate.high or 0.0
            learning_rate = trial.suggest_float("learning_rate", low, high, log=rate.log)
        else:
            learning_rate = trial.suggest_categorical("learning_rate", list(rate.choices))
        batch_size = trial.suggest_categorical("batch_size", list(batch.choices))
        return Choice(
            {slot.name: norm_map[slot.name] for slot in self.slots}, learning_rate, batch_size
        )

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of each single-norm network that every unit offers, by its spec."""
        found: dict[str, dict[str, Any]] = {}
        for text in self.texts:
            picks = {f"norm.{unit.name}": unit.choice_of(text) for unit in self.units}
            fixed = {
                "learning_rate": self.config.learning_rate.middle,
                "batch_size": self.config.batch_size.middle,
            }
            if None not in picks.values() and {**picks, **fixed} not in found.values():
                found[text] = {**picks, **fixed}
        return found


def _fits(spec: NormSpec, slot: NormSlot) -> bool:
    """Whether a slot can take a norm: by its channels, and by the convolution before for WN, WS."""
    weights = spec.weights is None or spec.weights in slot.weight_norms
    return weights and spec.feasible(slot.channels)


def _effective(text: str, slots: Sequence[NormSlot]) -> tuple[str, ...] | None:
    spec = NormSpec.parse(text)
    if not all(_fits(spec, slot) for slot in slots):
        return None
    return tuple(str(spec.canonical(slot.channels)) for slot in slots)


def _expand(config: SpaceConfig, slots: Sequence[NormSlot], origin: str) -> tuple[str, ...]:
    channels = sorted({slot.channels for slot in slots})
    counts = ", ".join(map(str, channels))
    texts: list[str] = []
    for index, choice in enumerate(config.norm.choices):
        group_specs = [
            (f"GN-{g}", f"norm.groups[{i}]", g) for i, g in enumerate(config.norm.groups)
        ]
        named = group_specs if choice == "GN" else [(choice, f"norm.choices[{index}]", choice)]
        for text, where, given in named:
            spec = NormSpec.parse(text)
            if not any(spec.weights in (None, *slot.weight_norms) for slot in slots):
                raise ConfigError(
                    f"{origin}{where}: must have a convolution directly before at least one slot, "
                    f"got {given}; use {spec.activation}."
                )
            if not any(_fits(spec, slot) for slot in slots):
                raise ConfigError(
                    f"{origin}{where}: must fit the channels of at least one slot "
                    f"({counts}), got {given}; take a group count that divides one of them."
                )
            if str(spec) not in texts:
                texts.append(str(spec))
    return tuple(texts)


def _grouped(slots: Sequence[NormSlot], per: str) -> dict[str, list[NormSlot]]:
    units: dict[str, list[NormSlot]] = {}
    for slot in slots:
        name = {"layer": slot.name, "block": slot.block, "stage": slot.stage}.get(per, "network")
        units.setdefault(name, []).append(slot)
    return units


def _unit(name: str, slots: list[NormSlot], texts: Sequence[str], origin: str) -> Unit:
    distinct: dict[tuple[str, ...], str] = {}
    for text in texts:
        if (effective := _effective(text, slots)) is not None:
            distinct.setdefault(effective, text)
    if not distinct:
        channels = ", ".join(str(count) for count in sorted({slot.channels for slot in slots}))
        raise ConfigError(
            f"{origin}norm.choices: must hold at least one norm for {name} "
            f"({channels} channels), got {', '.join(texts)}; add none, BN, IN or LN."
        )
    return Unit(name, tuple(slots), tuple(distinct.values()))
