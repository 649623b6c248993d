"""Learning rate schedules, as fractions of the initial learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from normsearch.errors import ConfigError, TrainingError
from normsearch.networks.importing import load, users_code
from normsearch.training.plan import Plan


def constant(progress: float) -> float:
    """Return 1 for any `progress` (0 to 1) through the budget."""
    return 1.0


def step(progress: float, points: tuple[float, ...] = (0.5,), factor: float = 0.2) -> float:
    """Return `factor` to the power of the number of `points` (shares of the budget) reached.

    The defaults are those of the ILN paper (seed 001): a fifth in the second of two epochs.
    """
    return math.prod(factor for point in points if progress >= point)


def polynomial(progress: float) -> float:
    """Return (1 − progress)^0.9, from 1 to 0 (Chen et al. 2018, as in nnU-Net)."""
    return float((1 - min(progress, 1.0)) ** 0.9)


def cosine(progress: float) -> float:
    """Return half a cosine, from 1 at progress 0 to 0 at progress 1 (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "step": step,
    "polynomial": polynomial,
    "cosine": cosine,
}


def warmed_up(progress: float, warmup: float) -> float:
    """Return the factor of the learning rate in a warm-up: `progress` / `warmup`, at most 1.

    Args:
        progress: the share of the budget that is used when the step ends, so that it is above 0.
        warmup: the share of the budget over which the rate rises.
    """
    return min(1.0, progress / warmup)


def schedule_of(plan: Plan) -> Callable[[float], float]:
    """Return a plan's schedule: from progress (0 to 1) to the fraction of the learning rate.

    Raises:
        ConfigError: ``module:name`` is not a function.
    """
    if ":" in plan.schedule:
        found = load(plan.schedule, "training.schedule")
        if not callable(found):
            raise ConfigError(f"training.schedule: must be a function, got {found!r}.")

        def share(progress: float) -> float:
            rule = f"training.schedule: {plan.schedule} must return a number from progress"
            fault = partial(TrainingError, kind="schedule")
            with users_code(f"{rule} {progress:g}, and raises", fault):
                return float(found(progress))

        return share
    if plan.schedule == "step":
        return partial(step, points=plan.step_points, factor=plan.step_factor)
    return SCHEDULES[plan.schedule]
