"""The objectives of a search: the score, or several at once."""

from __future__ import annotations

import math
from typing import Any, Literal

from optuna.trial import FrozenTrial, Trial, TrialState

from normsearch.config import SearchConfig
from normsearch.config.search import OBJECTIVES


def directions(search: SearchConfig) -> list[Literal["maximize", "minimize"]]:
    """Return ``maximize`` or ``minimize`` for each objective."""
    return [OBJECTIVES[name][1] for name in search.objectives]


def final_values(trial: FrozenTrial, search: SearchConfig) -> list[float]:
    """Return the objectives of a trial by its last record, in the study's order."""
    last: dict[str, Any] = trial.user_attrs[f"evaluation:{max(trial.intermediate_values)}"]
    return [float(last[OBJECTIVES[name][0]]) for name in search.objectives]


def note(trial: Trial, step: int, value: float) -> None:
    """Store the score at an evaluation point."""
    if len(trial.study.directions) == 1:
        trial.report(value, step)
    else:  # Trial.report refuses studies with several objectives
        trial.study._storage.set_trial_intermediate_value(trial._trial_id, step, float(value))


def should_prune(trial: Trial) -> bool:
    """Ask the study's pruner; with several objectives nothing is pruned."""
    return len(trial.study.directions) == 1 and trial.should_prune()


def score(trial: FrozenTrial) -> float:
    """Return the final score of a COMPLETE trial, whatever the objectives; NaN for others."""
    if trial.state != TrialState.COMPLETE:
        return math.nan
    return trial.intermediate_values[max(trial.intermediate_values)]
