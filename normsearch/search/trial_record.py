"""The record of a trial: its choice, its owner, its trial.json, and its end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from normsearch.config import StudyConfig, TrialConfig
from normsearch.config.metric import Bounds
from normsearch.config.study import OF_TRIAL
from normsearch.files import remove_leftovers, write_text
from normsearch.samplers.registry import how_drawn
from normsearch.space.choice import Choice
from normsearch.space.interface import AnySpace
from normsearch.storage.objectives import final_values, lacking, mark_violated
from normsearch.storage.optuna_access import stored
from normsearch.storage.remote_checkpoints import RemoteCheckpoints
from normsearch.storage.trial_states import is_replicate, mark_infeasible

TAKEN: dict[str, Any] = {"state": "TAKEN"}  # another driver continues it, and records its end
LOST = "its choice is lost with a damaged line of the study's journal"
_CHOSEN = ("norm_map", "arm", *OF_TRIAL)


def choice_of(trial: Trial, space: AnySpace) -> Choice:
    """Return what a trial chooses; a replicate also has a seed."""
    choice = space.suggest(trial)
    if is_replicate(trial):
        choice = choice.model_copy(update={"seed": trial.user_attrs["seed"]})
    return choice


def record_choice(trial: Trial, choice: Choice, space: AnySpace) -> bool:
    """Store the choice of a trial; False if its record belongs to another choice.

    This happens if lines of the journal are lost. Its curve and checkpoint are of the other choice.
    """
    known = trial.user_attrs
    chosen = {"norm_map": choice.norm_map, "values": choice.values}
    begun = any(name.startswith("evaluation:") for name in known)
    for name, value in chosen.items():
        if known.get(name, None if begun else value) != value:
            return False
    if chosen.keys() <= known.keys():
        return True
    for name, value in chosen.items():
        trial.set_user_attr(name, value)
    trial.set_user_attr("drawn", how_drawn(trial.study.sampler, trial))
    if single := space.single_norm(choice.norm_map):
        trial.set_user_attr("single_norm", single)
    return True


def prepare_folder(folder: Path, config: TrialConfig, token: str) -> None:
    """Prepare a trial's folder: its owner, its trial.json, and no files of another choice."""
    write_text(folder / "owner", token)
    remove_leftovers(folder)  # after the owner is written, since a late writer is then refused
    path = folder / "trial.json"
    known = _read(path)
    own = config.model_dump(mode="json", include=set(_CHOSEN))
    if any(known[name] != own[name] for name in _CHOSEN if name in known):
        for name in ("checkpoint.pt", "checkpoint-previous.pt", "cases.csv"):
            (folder / name).unlink(missing_ok=True)
        known = {}
    if not known:
        config.write(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def tell_end(
    study: optuna.Study,
    trial: Trial,
    state: TrialState,
    reason: str | None,
    config: StudyConfig,
    folder: Path,
    mirror: RemoteCheckpoints | None,
) -> dict[str, Any]:
    """Record how a trial ended; return its state, last score, the reason and what it exceeds.

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
        exceeded = mark_violated(trial, known, config.search) if complete else []
        study.tell(trial.number, final, state=told, skip_if_finished=True)
    except UpdateFinishedTrialError:
        return TAKEN
    if mirror and not complete:
        mirror.settle(trial.number, folder, keep=False)
    # The weights of an incomplete trial are of no use.
    for name in ("checkpoint-previous.pt", *(() if complete else ("checkpoint.pt",))):
        (folder / name).unlink(missing_ok=True)
    last = values[max(values)] if values else math.nan
    return {"state": state.name, "score": last, "reason": reason, "exceeded": exceeded}


def _incomplete(known: optuna.trial.FrozenTrial, config: StudyConfig) -> str | None:
    last = config.training.evaluations
    score = known.intermediate_values.get(last, math.nan)
    if math.isnan(score):
        return "no validation case has a score"
    if math.isinf(score):
        return f"its score must be finite, got {score}; a case without a score has nan"
    record = known.user_attrs.get(f"evaluation:{last}")
    if record is None:
        return "its last record is lost in a damaged line of the study's journal"
    if name := lacking(known, config.search):
        return f"{name} is an objective, and its last record has none"
    return _out_of_range(record, config.bounds) if config.training.metric.range else None


def _out_of_range(record: dict[str, Any], bounds: Bounds) -> str | None:
    for case, score in {"the mean": record["score"], **record.get("cases", {})}.items():
        if score < bounds[0] or score > bounds[1]:
            return (
                f"every score must be within training.metric.range, {bounds[0]:g} to "
                f"{bounds[1]:g}, and that of {case} is {score:g}; widen the range in a new run"
            )
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
    return _counted(trial, known, "deletions")


def count_neighbour(trial: Trial, known: optuna.trial.FrozenTrial) -> int:
    """Record that other processes took a trial's GPU memory; return how often they did."""
    return _counted(trial, known, "neighbours")


def _counted(trial: Trial, known: optuna.trial.FrozenTrial, name: str) -> int:
    times = int(known.user_attrs.get(name, 0)) + 1
    trial.set_user_attr(name, times)
    return times
