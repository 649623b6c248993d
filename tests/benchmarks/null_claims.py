"""What a confirmed study says of its arms, in its table and in words, and the power it states."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.config import Arm, ArmsConfig, StudyConfig
from normsearch.confirmation import power
from normsearch.confirmation.comparison import Confirmation
from normsearch.networks import NormSlot
from normsearch.space.choice import effective_map
from tests.benchmarks.worlds import World

Array = npt.NDArray[np.float64]
NO_POWER = dict.fromkeys(
    ("true_gap", "stated", "stated_low", "stated_high", "stated_own"), math.nan
)


def said(
    found: Confirmation, config: StudyConfig, texts: dict[str, str], world: World
) -> dict[str, Any]:
    """Return what the table of verdicts, and `texts` by their names, say of the arms.

    Returns:
        arms (how many), mixture_better (arms: mixtures that are called better than the best single
        norm and are not), mixture_worse (mixtures called worse), single_differs (single norms
        called better or worse than the best one), true (whether there is a `first_better`),
        true_found (whether it is called better), and for each text whether it claims that a mixture
        is better (TEXT_mixture) or that a single norm differs (TEXT_single) where that is not so.
    """
    arms = arms_of(config)
    norms = {name: set(arm.norm.values()) for name, arm in arms.items()}
    mixtures = [name for name in arms if len(norms[name]) > 1]
    others = [n for n in arms if n not in mixtures and norms[n] != norms[found.reference]]
    false = [name for name in mixtures if not world.better(arms[name].norm)]
    true = first_better(config, world)
    verdicts = dict(zip(found.table["arm"], found.table["verdict"], strict=True))
    row: dict[str, Any] = {
        "arms": len(arms),
        "mixture_better": sum(verdicts[name] == "better" for name in false),
        "mixture_worse": sum(verdicts[name] == "worse" for name in mixtures),
        "single_differs": sum(verdicts[name] in ("better", "worse") for name in others),
        "true": true is not None,
        "true_found": true is not None and verdicts[true] == "better",
    }
    for key, text in texts.items():
        row[f"{key}_mixture"] = claims(text, arms, false, ("better",))
        row[f"{key}_single"] = claims(text, arms, others, ("better", "worse"))
    return row


def arms_of(config: StudyConfig) -> dict[str, Arm]:
    """Return the arms of a confirmation by their names, in its order."""
    if not isinstance(config.space, ArmsConfig):
        raise TypeError("a confirmation must have arms")
    return {arm.name: arm for arm in config.space.arms}


def first_better(config: StudyConfig, world: World) -> str | None:
    """Return the first arm that is a truly better mixture, if there is one."""
    arms = arms_of(config)
    return next((name for name, arm in arms.items() if world.better(arm.norm)), None)


def claims(text: str, arms: Iterable[str], of: Iterable[str], words: Sequence[str]) -> bool:
    """Return whether a text says with one of the `words` of an arm in `of` that it differs.

    That is: a clause has such a word and such an arm's name, and no negation.

    >>> text = "Better than BN: trial 3 (+0.02, p 0.01); no difference found between BN and IN."
    >>> claims(text, ["BN", "IN", "trial 3"], ["trial 3"], ["better"])
    True
    >>> claims(text, ["BN", "IN", "trial 3"], ["IN"], ["better", "worse"])
    False
    """
    marks = {name: f"<{place}>" for place, name in enumerate(sorted(arms, key=len, reverse=True))}
    for name, mark in marks.items():  # the longest first, for one name may be part of another
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", mark, text)
    clauses = [clause.lower() for clause in re.split(r"[.;](?:\s|$)", text)]
    return any(
        any(word in clause for word in words)
        and any(marks[name] in clause for name in of)
        and not re.search(r"\b(no|not|nor|neither|cannot)\b", clause)
        for clause in clauses
    )


def stated_power(
    scores: pd.DataFrame,
    found: Confirmation,
    config: StudyConfig,
    world: World,
    slots: Sequence[NormSlot],
) -> dict[str, float]:
    """Return how often the study states that it finds its first truly better mixture.

    Returns:
        true_gap: what that arm is truly better by than the reference, each at its own setting.
        stated, stated_low, stated_high: the power for the world's gain, and its range.
        stated_own: the power for the gain or `true_gap`, whichever is less.
    """
    true, arms = first_better(config, world), arms_of(config)
    if true is None:
        return NO_POWER
    truths = [
        world.score(effective_map(arm.norm, slots), arm.learning_rate, arm.batch_size)
        for arm in (arms[true], arms[found.reference])
    ]
    gap, gain = truths[0] - truths[1], world.kind.gain
    pair = [by_seed(scores, name) for name in (found.reference, true)]
    own = _power(found, pair, max(min(gap, gain), 0.0))
    values = (gap, *_power(found, pair, gain), own[0])
    return {name: round(value, 4) for name, value in zip(NO_POWER, values, strict=True)}


def by_seed(scores: pd.DataFrame, arm: str) -> Array:
    """Return an arm's scores, (seeds, cases)."""
    part = scores[scores["arm"] == arm]
    return part.pivot(index="seed", columns="case", values="score").to_numpy(float)


def _power(
    found: Confirmation, pair: Sequence[Array], difference: float
) -> tuple[float, float, float]:
    """The power that is stated for a true difference of two arms, and its range."""
    comparisons, module = len(found.table) - 1, cast(Any, power)
    if precision := getattr(module, "precision", None):
        known = precision(*pair, comparisons=comparisons).power(difference)
        return known.estimate, known.low, known.high
    seeds, cases = pair[0].shape
    size = {"cases": cases, "seeds": seeds, "comparisons": comparisons}
    known = module.power(found.comparison.spread, difference, **size)
    return known, known, known
