"""The end of a trial: its state and values are recorded, and files of no use are deleted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from normsearch.config import StudyConfig
from normsearch.storage.objectives import final_values
from normsearch.storage.remote_checkpoints import RemoteCheckpoints
from normsearch.storage.trial_states import mark_infeasible

TAKEN: dict[str, Any] = {"state": "TAKEN"}  # another driver has resumed it, and records its end


def tell_end(
    study: optuna.Study,
    trial: Trial,
    state: TrialState,
    reason: str | None,
    config: StudyConfig,
    folder: Path,
    mirror: RemoteCheckpoints | None,
) -> dict[str, Any]:
    """Record how a trial ended; return its state, last score and the reason.

    COMPLETE becomes FAIL without a last score.
    """
    known = study._storage.get_trial(trial._trial_id)
    values = known.intermediate_values
    if state == TrialState.COMPLETE and (why := _incomplete(known, config)):
        state, reason = TrialState.FAIL, why
    complete = state == TrialState.COMPLETE
    try:
        if reason:
            trial.set_user_attr("failure", reason)
        told = mark_infeasible(trial) if (reason or "").startswith("memory:") else state
        if mirror and complete:
            mirror.settle(trial.number, folder, keep=True)
        final = final_values(known, config.search) if complete else None
        study.tell(trial.number, final, state=told, skip_if_finished=True)
    except UpdateFinishedTrialError:
        return TAKEN
    if mirror and not complete:
        mirror.settle(trial.number, folder, keep=False)
    # The weights of an incomplete trial are of no use.
    for name in ("checkpoint-previous.pt", *(() if complete else ("checkpoint.pt",))):
        (folder / name).unlink(missing_ok=True)
    last = values[max(values)] if values else math.nan
    return {"state": state.name, "score": last, "reason": reason}


def _incomplete(known: optuna.trial.FrozenTrial, config: StudyConfig) -> str | None:
    last = config.training.evaluations
    if math.isnan(known.intermediate_values.get(last, math.nan)):
        return "no validation case has a score"
    if f"evaluation:{last}" not in known.user_attrs:
        return "its last record is lost in a damaged line of the study's journal"
    return None


def count_death(trial: Trial, known: optuna.trial.FrozenTrial) -> int:
    """Record that a worker of a trial died; return the deaths since its last progress."""
    reached = max(known.intermediate_values, default=0)
    at, deaths = known.user_attrs.get("crashes_at", [reached, 0])
    deaths = deaths + 1 if at == reached else 1
    trial.set_user_attr("crashes_at", [reached, deaths])
    trial.set_user_attr("crashes", known.user_attrs.get("crashes", 0) + 1)
    return int(deaths)


def count_deletion(trial: Trial, known: optuna.trial.FrozenTrial) -> int:
    """Record that a trial's folder was deleted; return the number of deletions."""
    deletions = int(known.user_attrs.get("deletions", 0)) + 1
    trial.set_user_attr("deletions", deletions)
    return deletions
