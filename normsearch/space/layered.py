"""A study's space on a network's slots, as define-by-run suggestions of an Optuna trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from normsearch.config import NumberSpace, Point, SpaceConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.errors import ConfigError, NormError, sentence
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec
from normsearch.space.candidates import candidates_by_slot, effective, fits, groups_left_out
from normsearch.space.choice import Choice, effective_map
from normsearch.space.interface import Asker
from normsearch.space.units import units_of


class Space:
    """A study's space on a network's slots.

    Every unit (a layer, block, stage or the network) has only the choices that its channels allow
    (and, for WN and WS, the convolutions before it), and only the first of equivalent choices (GN-C
    is IN). A number of groups that does not divide a slot's channels becomes the nearest one that
    does; see `normsearch.space.candidates.effective`.

    Args:
        config: the study's space.
        slots: the network's slots, in order of depth.
        origin: prefix of the space's keys in messages (``studies/lv.yaml: space.``).

    Raises:
        ConfigError: a choice fits no slot, or a unit has no choice left.
    """

    def __init__(self, config: SpaceConfig, slots: Sequence[NormSlot], origin: str) -> None:
        self.config, self.slots, self.origin = config, tuple(slots), origin
        candidates = candidates_by_slot(config.norm, self.slots, origin)
        self.texts = tuple(dict.fromkeys(text for texts in candidates.values() for text in texts))
        self.units = units_of(self.slots, config.norm.per, candidates, origin)
        self.values = {
            name: getattr(config, name)
            for name in HYPERPARAMETERS
            if getattr(config, name) is not None
        }
        self.distributions: dict[str, BaseDistribution] = {
            **{f"norm.{unit.name}": CategoricalDistribution(unit.choices) for unit in self.units},
            **{name: _distribution(values) for name, values in self.values.items()},
        }
        self.single_norms: Mapping[str, dict[str, str]] = self._single_norms()
        self._single_maps = {
            tuple(self._norm_map(picks).values()): text for text, picks in self.single_norms.items()
        }

    @property
    def endless(self) -> str | None:
        """The first parameter that is a range, None if there is none."""
        ranges = (n for n, d in self.distributions.items() if isinstance(d, FloatDistribution))
        return next(ranges, None)

    @property
    def size(self) -> int | None:
        """The number of distinct configurations, None if a parameter is a range."""
        return None if self.endless else math.prod(map(len, self._choices().values()))

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {
            name: kind.choices
            for name, kind in self.distributions.items()
            if isinstance(kind, CategoricalDistribution)
        }

    def suggest(self, trial: Asker) -> Choice:
        """Suggest a value of each parameter; the same trial always gets the same values."""
        answers: dict[str, Any] = {}
        for name, kind in self.distributions.items():
            if isinstance(kind, FloatDistribution):
                answers[name] = trial.suggest_float(name, kind.low, kind.high, log=kind.log)
            elif isinstance(kind, CategoricalDistribution):
                answers[name] = trial.suggest_categorical(name, list(kind.choices))
        values = {name: answers[name] for name in self.values}
        return Choice(norm_map=self._norm_map(answers), **values)

    def suggest_norms(self, trial: Asker) -> dict[str, str]:
        """Suggest the norm of each unit only; return the effective spec of every slot."""
        names = {f"norm.{unit.name}": list(unit.choices) for unit in self.units}
        asked = {name: trial.suggest_categorical(name, texts) for name, texts in names.items()}
        return self._norm_map(asked)

    def _norm_map(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Return the effective spec of every slot, in order of depth."""
        found = {
            slot.name: effective(params[f"norm.{unit.name}"], slot) or ""
            for unit in self.units
            for slot in unit.slots
        }
        return {slot.name: found[slot.name] for slot in self.slots}

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of each parameter besides the norms."""
        return {name: values.middle for name, values in self.values.items()}

    def _single_norms(self) -> dict[str, dict[str, str]]:
        """The norm parameters of each single norm that every unit has as a choice."""
        found: dict[str, dict[str, str]] = {}
        for text in self.texts:
            picks = {f"norm.{unit.name}": unit.substitute(text) for unit in self.units}
            offered = {name: choice for name, choice in picks.items() if choice is not None}
            if len(offered) == len(picks) and offered not in found.values():
                found[text] = offered
        return found

    def missing_single_norms(self) -> dict[str, str]:
        """Return why a norm of the space is no single norm, by its spec."""
        left_out = groups_left_out(self.config.norm, self.slots)
        found = {f"GN-{n}": f"{n} divides the channels of no slot" for n in left_out}
        for text in self.texts:
            units = [unit.name for unit in self.units if unit.substitute(text) is None]
            if units:
                more = f" and {len(units) - 1} more" if len(units) > 1 else ""
                found[text] = f"{units[0]}{more} of {len(self.units)} cannot have it"
        return found

    def substitutes(self) -> dict[str, dict[str, str]]:
        """Return {single norm: {slot: effective spec}} for the slots that it does not fit itself.

        There the norm of its family with the nearest number of groups replaces it: GN-8 on 3
        channels is IN (GN-3).
        """
        found = {}
        for text, picks in self.single_norms.items():
            placed = self._norm_map(picks)
            own = {slot.name: _own(text, slot) for slot in self.slots}
            found[text] = {name: spec for name, spec in placed.items() if spec != own[name]}
        return {text: slots for text, slots in found.items() if slots}

    def single_norm(self, norm_map: Mapping[str, str]) -> str | None:
        """Return the norm of an effective norm map that is a single norm, None for a mixture."""
        return self._single_maps.get(tuple(norm_map[slot.name] for slot in self.slots))

    def parameters(self, point: Point) -> dict[str, Any]:
        """Return the parameters of a configuration; values that it leaves out are defaults.

        Raises:
            ConfigError: a norm or a value is outside the space.
        """
        try:
            norm_map = effective_map(point.norm, self.slots)
        except NormError as error:
            raise ConfigError(f"{point.source}: {sentence(error)}") from error
        found: dict[str, Any] = {}
        for unit in self.units:
            choice = unit.choice_in(norm_map)
            if choice is None:
                given = ", ".join(
                    dict.fromkeys(norm_map.get(s.name, "nothing") for s in unit.slots)
                )
                raise ConfigError(
                    f"{point.source}: norm of {unit.name} must be one of "
                    f"{', '.join(unit.choices)}, got {given}."
                )
            found[f"norm.{unit.name}"] = choice
        for name in HYPERPARAMETERS:
            given = getattr(point, name)
            if given is not None and not (name in self.values and self.values[name].allows(given)):
                raise ConfigError(f"{point.source}: {name} must lie in the space, got {given}.")
            if name in self.values:
                found[name] = self.values[name].middle if given is None else given
        return found

    def unseen(self, past: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
        """Return the first parameters not in `past`, from number `start` on, cyclically.

        None if the space is infinite, or all are in `past`.
        """
        if self.size is None:
            return None
        choices = self._choices()
        seen = {tuple(params.get(name) for name in choices) for params in past}
        for number in range(start, start + min(self.size, len(seen) + 1)):
            rest, values = number % self.size, []
            for name in reversed(choices):
                rest, digit = divmod(rest, len(choices[name]))
                values.append(choices[name][digit])
            if tuple(reversed(values)) not in seen:
                return dict(zip(choices, reversed(values), strict=True))
        return None


def _distribution(values: Any) -> BaseDistribution:
    if isinstance(values, NumberSpace) and values.choices is None:
        return FloatDistribution(values.low or 0.0, values.high or 0.0, log=values.log)
    return CategoricalDistribution(tuple(dict.fromkeys(values.choices)))


def _own(text: str, slot: NormSlot) -> str | None:
    spec = NormSpec.parse(text)
    return str(spec.canonical(slot.channels)) if fits(spec, slot) else None
