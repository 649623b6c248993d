"""Seconds of a suggestion as a study grows: 22 norm slots of 7 norms, learning rate, batch size."""

from __future__ import annotations

import time

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from normsearch.config import SearchConfig
from normsearch.samplers.registry import build_sampler
from normsearch.space.layered import Space
from tests.benchmarks.search_scale import unet_space

TITLE = "One suggestion for 22 slots, CPU milliseconds (median of 5) by finished trials"
COUNTS = (100, 1000, 3000, 10_000)


def fill(study: optuna.Study, space: Space, count: int, rng: np.random.Generator) -> None:
    """Add made-up trials up to `count`, seven in ten of them pruned."""
    trials = []
    for _ in range(count - len(study.get_trials(deepcopy=False))):
        params = {}
        for name, kind in space.distributions.items():
            if isinstance(kind, CategoricalDistribution):
                params[name] = kind.choices[rng.integers(len(kind.choices))]
            elif isinstance(kind, FloatDistribution):
                params[name] = float(np.exp(rng.uniform(np.log(kind.low), np.log(kind.high))))
        height, last = float(rng.random()), int(rng.choice([2, 2, 2, 2, 2, 6, 6, 9, 9, 9]))
        trials.append(
            create_trial(
                state=TrialState.COMPLETE if last == 9 else TrialState.PRUNED,
                params=params,
                distributions=space.distributions,
                intermediate_values={step: height * step / 9 for step in range(1, last + 1)},
                value=height * last / 9,
            )
        )
    study.add_trials(trials)


def measure(
    samplers: tuple[str, ...] = ("gp", "tpe"), counts: tuple[int, ...] = COUNTS
) -> pd.DataFrame:
    """Return one row a sampler, one column a number of trials."""
    space, rows = unet_space(), []
    for sampler in samplers:
        rng = np.random.default_rng(0)
        built = build_sampler(SearchConfig(sampler=sampler), space, seed=0)
        study = optuna.create_study(direction="maximize", sampler=built)
        medians = {}
        for count in counts:
            fill(study, space, count, rng)
            _one(study, space)  # the first one after a start reads every trial
            medians[str(count)] = 1000 * float(np.median([_one(study, space) for _ in range(5)]))
        rows.append({"sampler": sampler, **medians})
    return pd.DataFrame(rows).round(1)


def _one(study: optuna.Study, space: Space) -> float:
    started = time.process_time()
    trial = study.ask()
    space.suggest(trial)
    used = time.process_time() - started
    study.tell(trial, state=TrialState.FAIL)
    return used
