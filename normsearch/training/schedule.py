"""Learning rate as a fraction of its first value."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(progress: float) -> float:
    """Return 1 whatever the `progress` (0 to 1) through the budget."""
    return 1.0


def cosine(progress: float) -> float:
    """Return half a cosine, from 1 at progress 0 to 0 at progress 1 (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine}
