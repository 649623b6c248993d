"""Access to private attributes of Optuna, which no other module uses."""

from __future__ import annotations

from optuna import Study
from optuna.storages import BaseStorage
from optuna.storages.journal._storage import JournalOperation as JournalOperation
from optuna.trial import FrozenTrial, Trial, TrialState


def storage_of(study: Study) -> BaseStorage:
    """Return the storage of a study."""
    return study._storage


def storage_id(trial: Trial | FrozenTrial) -> int:
    """Return a trial's id in its storage, from which `optuna.trial.Trial` can be created."""
    return int(trial._trial_id)


def stored(trial: Trial) -> FrozenTrial:
    """Return the current record of a trial in the storage."""
    return trial.study._storage.get_trial(trial._trial_id)


def store_value(trial: Trial, step: int, value: float) -> None:
    """Store the score at an evaluation point, also if `Trial.report` would refuse it."""
    trial.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)


def begin(study: Study, trial: FrozenTrial) -> bool:
    """Change the state of a waiting trial to RUNNING; False if another driver did so."""
    return study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)


def state_now(study: Study, trial: FrozenTrial) -> TrialState:
    """Return the current state of a trial in the storage."""
    return study._storage.get_trial(trial._trial_id).state
