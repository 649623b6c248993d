"""The interface of a space, and the part of an Optuna trial that a space uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from normsearch.config import Point
from normsearch.networks import NormSlot
from normsearch.space.choice import Choice


class Asker(Protocol):
    """The part of `optuna.trial.Trial` that a space uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of `choices`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a float from `low` to `high`."""


class AnySpace(Protocol):
    """The interface of a space, defined in YAML or in Python."""

    @property
    def slots(self) -> tuple[NormSlot, ...]:
        """The network's norm slots, in order of depth."""

    @property
    def endless(self) -> str | None:
        """Name of the range that makes the space infinite, None for a finite space."""

    @property
    def size(self) -> int | None:
        """The number of distinct configurations, None if it cannot be counted."""

    def suggest(self, trial: Any) -> Choice:
        """Suggest a value of each parameter."""

    @property
    def single_norms(self) -> Mapping[str, dict[str, str]]:
        """The norm parameters of each single-norm network, by its spec."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The default of each parameter besides the norms."""

    def single_norm(self, norm_map: Mapping[str, str]) -> str | None:
        """Return the norm of an effective norm map that is a single norm, None for a mixture."""

    def parameters(self, point: Point) -> dict[str, Any]:
        """Return the parameters of a configuration, or raise ConfigError."""

    def unseen(self, past: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
        """Return parameters that are not in `past`, None if there are none or no order."""


class WithoutBaselines:
    """Base of spaces that train no single norm at default settings by themselves."""

    single_norms: Mapping[str, dict[str, str]] = MappingProxyType({})
    defaults: Mapping[str, Any] = MappingProxyType({})

    def single_norm(self, norm_map: Mapping[str, str]) -> str | None:
        """Return the norm of a map with one norm in every slot, None for a mixture."""
        norms = set(norm_map.values())
        return norms.pop() if len(norms) == 1 else None
