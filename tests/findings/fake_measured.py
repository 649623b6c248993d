"""Made-up measurements of a part: what a judge is given, with the truth known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from normsearch.findings.measurements import Measured

Factors = Mapping[str, Any]
EMPTY = pd.DataFrame()


def scored(
    arms: list[Factors],
    mean: Callable[[Factors], float],
    *,
    seeds: int = 4,
    cases: int = 15,
    seed_sd: float = 0.01,
    loss: Callable[[Factors], float] = lambda arm: 0.3,
    seconds: Callable[[Factors], float] = lambda arm: 10.0,
    random: np.random.Generator | None = None,
) -> Measured:
    """Return trainings of each arm (norm, batch_size, ...) whose scores scatter about `mean`."""
    random = random or np.random.default_rng(0)
    case_level = random.normal(0, 0.05, cases)
    trials, rows, curves, number = [], [], [], 0
    for seed in range(seeds):
        for arm in arms:
            label = {"number": number, "arm": str(dict(arm)), "seed": seed, "fold": None, **arm}
            number += 1
            own = mean(arm) + random.normal(0, seed_sd)
            scores = own + case_level + random.normal(0, 0.01, cases)
            fit = loss(arm) + random.normal(0, 0.005)
            measured = {"score": scores.mean(), "loss": fit, "seconds": seconds(arm)}
            trials.append({**label, "state": "COMPLETE", **measured, "parameters": 100})
            rows += [{**label, "case": f"c{i}", "score": s} for i, s in enumerate(scores)]
            curves += [
                {**label, "evaluation": i, "seconds": i * seconds(arm) * random.normal(1, 0.001)}
                for i in (1, 2, 3)
            ]
    return Measured(*map(pd.DataFrame, (trials, rows, curves)), EMPTY, EMPTY)  # type: ignore[call-arg]


def learnt(
    logit: Callable[[int, int, str, str, Factors], float],
    *,
    arms: list[Factors],
    seeds: int = 4,
    layers: int = 9,
    sd: float = 0.2,
    random: np.random.Generator | None = None,
) -> Measured:
    """Return weights of a softmax over IN, LN and BN.

    `logit` is of (seed, depth, statistic, branch, arm), to which noise of `sd` is added.
    """
    random = random or np.random.default_rng(0)
    rows, number = [], 0
    for seed in range(seeds):
        for arm in arms:
            label = {"number": number, "arm": str(dict(arm)), "seed": seed, "fold": None, **arm}
            number += 1
            for depth in range(layers):
                for statistic in ("mean", "variance"):
                    place = {**label, "depth": depth, "slot": f"s{depth}", "statistic": statistic}
                    branches = ("IN", "LN", "BN")
                    logits = np.array([logit(seed, depth, statistic, b, arm) for b in branches])
                    weights = np.exp(logits + random.normal(0, sd, 3))
                    weights /= weights.sum()
                    rows += [
                        {**place, "branch": b, "weight": w}
                        for b, w in zip(branches, weights, strict=True)
                    ]
    return Measured(pd.DataFrame({"state": []}), EMPTY, EMPTY, pd.DataFrame(rows), EMPTY)
