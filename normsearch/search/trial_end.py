"""How a trial's end is told: once, with its values, and with no files that nobody will ask for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from normsearch.config import StudyConfig
from normsearch.storage.objectives import final_values
from normsearch.storage.optuna_access import stored
from normsearch.storage.remote_checkpoints import RemoteCheckpoints
from normsearch.storage.trial_states import mark_infeasible

TAKEN: dict[str, Any] = {"state": "TAKEN"}  # another driver went on with it, and tells its end


def tell_end(
    study: optuna.Study,
    trial: Trial,
    state: TrialState,
    reason: str | None,
    config: StudyConfig,
    folder: Path,
    mirror: RemoteCheckpoints | None,
) -> dict[str, Any]:
    """Tell the study how a trial ended; return its state, last score and the reason.

    COMPLETE becomes FAIL without a last score.
    """
    known = stored(trial)
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
    # The weights of a trial that did not complete are a model nobody will ask for.
    for name in ("checkpoint-previous.pt", *(() if complete else ("checkpoint.pt",))):
        (folder / name).unlink(missing_ok=True)
    last = values[max(values)] if values else math.nan
    return {"state": state.name, "score": last, "reason": reason}


def _incomplete(known: optuna.trial.FrozenTrial, config: StudyConfig) -> str | None:
    last = config.training.evaluations
    if math.isnan(known.intermediate_values.get(last, math.nan)):
        return "no validation case has a score"
    if f"evaluation:{last}" not in known.user_attrs:
        return "its last record is lost with a damaged line of the study's journal"
    return None


def count_death(trial: Trial, known: optuna.trial.FrozenTrial) -> int:
    """Write down that a worker of a trial died; return how many did since it last got on."""
    reached = max(known.intermediate_values, default=0)
    at, deaths = known.user_attrs.get("crashes_at", [reached, 0])
    deaths = deaths + 1 if at == reached else 1
    trial.set_user_attr("crashes_at", [reached, deaths])
    trial.set_user_attr("crashes", known.user_attrs.get("crashes", 0) + 1)
    return int(deaths)


def count_deletion(trial: Trial, known: optuna.trial.FrozenTrial) -> int:
    """Write down that a trial's folder was deleted; return how often it was."""
    deletions = int(known.user_attrs.get("deletions", 0)) + 1
    trial.set_user_attr("deletions", deletions)
    return deletions
