"""The objectives of a search: the score, or several at once."""

from __future__ import annotations

import math
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from normsearch.config import SearchConfig, StudyConfig
from normsearch.config.metric import Direction
from normsearch.config.search import OBJECTIVES
from normsearch.storage.optuna_access import store_value
from normsearch.storage.trial_states import is_replicate, outcome, violated


def directions(study: StudyConfig) -> list[Direction]:
    """Return ``maximize`` or ``minimize`` for each objective; the score's is the metric's."""
    return [
        study.direction if name == "score" else OBJECTIVES[name][1]
        for name in study.search.objectives
    ]


def final_values(trial: FrozenTrial, search: SearchConfig) -> list[float]:
    """Return the objectives of a trial by its last record, in the study's order."""
    last: dict[str, Any] = trial.user_attrs[f"evaluation:{max(trial.intermediate_values)}"]
    return [float(last[OBJECTIVES[name][0]]) for name in search.objectives]


def lacking(trial: FrozenTrial, search: SearchConfig) -> str | None:
    """Return the first objective that the last record of a trial lacks as a number, or None."""
    last: dict[str, Any] = trial.user_attrs[f"evaluation:{max(trial.intermediate_values)}"]
    fields = {name: last.get(OBJECTIVES[name][0]) for name in search.objectives}
    return next((name for name, value in fields.items() if value is None or value != value), None)


def mark_violated(trial: Trial, known: FrozenTrial, search: SearchConfig) -> list[str]:
    """Record how far a trial's last record is above each constraint; below 0 it is kept.

    A quantity that is not a number keeps no constraint.

    Returns:
        The names of the constraints that the trial exceeds.
    """
    last: dict[str, Any] = known.user_attrs[f"evaluation:{max(known.intermediate_values)}"]
    exceeded = []
    for name, limit in search.constraints.limits.items():
        above = float(last.get(OBJECTIVES[name][0], math.nan)) - limit
        if name not in known.constraints:
            trial.set_constraint(name, 1.0 if math.isnan(above) else above)
        if not above <= 0:
            exceeded.append(name)
    return exceeded


def note(trial: Trial, step: int, value: float) -> None:
    """Store the score at an evaluation point."""
    if len(trial.study.directions) == 1:
        trial.report(value, step)
    else:  # report refuses such studies, and so do the pruners that would ask for it
        store_value(trial, step, float(value))


def should_prune(trial: Trial) -> bool:
    """Ask the study's pruner; with several objectives nothing is pruned."""
    return len(trial.study.directions) == 1 and trial.should_prune()


def stops(trial: Trial) -> bool:
    """Ask the pruner whether a trial ends here; of baselines and replicates too, which never do.

    They compete in the pruner's rungs, but a comparison at unequal budgets would be none.
    """
    runs_to_the_end = "baseline" in trial.user_attrs or is_replicate(trial)
    return should_prune(trial) and not runs_to_the_end


def score(trial: FrozenTrial) -> float:
    """Return the final score of a COMPLETE trial, whatever the objectives; NaN for others."""
    if trial.state != TrialState.COMPLETE:
        return math.nan
    return trial.intermediate_values[max(trial.intermediate_values)]


def state_of(trial: FrozenTrial) -> tuple[int, str, float]:
    """Return number, state and final score; NaN if not COMPLETE, or if it exceeds a constraint."""
    return trial.number, outcome(trial), math.nan if violated(trial) else score(trial)
