"""Numbers that a search chose at the end of their range, and a wider range to search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from normsearch.config.hyperparameters import offers

NAMES = {name: name.replace("_", " ") for name, offered in offers().items() if offered.numeric}
_NEAR = 0.05  # share of a range, on its own scale, that counts as its end
_FURTHER = {"learning_rate": 3.0, "batch_size": 2, "weight_decay": 10.0}  # factors


def at_edges(space: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each number of `values` that lies at an end of its range in `space`.

    The outer 5% of a range (on its logarithmic scale, if it has one) count as its end. A batch size
    of 1 and a number of 0 cannot be passed and are never reported.

    Args:
        space: the study's space as plain values, as in study.yaml.
        values: the chosen numbers, by name.
    """
    found = []
    for name, told in NAMES.items():
        offered, value = space.get(name), values.get(name)
        if isinstance(offered, Mapping) and value is not None:
            end = _end(offered, float(value))
            if end and not (end == "lower" and (value == 0 or (name, value) == ("batch_size", 1))):
                found.append(_sentence(name, told, offered, value, end))
    return found


def _end(offered: Mapping[str, Any], value: float) -> str | None:
    """Return ``lower`` or ``upper`` if `value` lies at that end."""
    if choices := offered.get("choices"):
        if len(set(choices)) < 2 or value not in (min(choices), max(choices)):
            return None
        return "lower" if value == min(choices) else "upper"
    low, high = float(offered["low"]), float(offered["high"])
    scale = math.log if offered.get("log", True) else float
    place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    return "lower" if place <= _NEAR else "upper" if place >= 1 - _NEAR else None


def _sentence(name: str, told: str, offered: Mapping[str, Any], value: Any, end: str) -> str:
    factor = _FURTHER.get(name, 10.0)
    if choices := offered.get("choices"):
        limit = min(choices) if end == "lower" else max(choices)
        which = "smallest" if end == "lower" else "largest"
        further = limit / factor if end == "lower" else limit * factor
        further = int(further) if name == "batch_size" else further
        listed = ", ".join(f"{choice:g}" for choice in sorted(set(choices)))
        return (
            f"The {told} {value:g} is the {which} in the space ({listed}): add {further:g} to the "
            "choices."
        )
    key = "low" if end == "lower" else "high"
    further = offered[key] / factor if end == "lower" else offered[key] * factor
    return (
        f"The {told} {value:.3g} lies at the {end} end of its range ({offered['low']:g} to "
        f"{offered['high']:g}): search a wider one, for example {key}: {further:.3g}."
    )
