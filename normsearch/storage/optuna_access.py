"""What Optuna keeps to itself and a search needs: the only place that reads private attributes."""

from __future__ import annotations

from optuna import Study
from optuna.storages import BaseStorage
from optuna.storages.journal._storage import JournalOperation as JournalOperation
from optuna.trial import FrozenTrial, Trial, TrialState


def storage_of(study: Study) -> BaseStorage:
    """Return the storage that a study lies in."""
    return study._storage


def storage_id(trial: Trial | FrozenTrial) -> int:
    """Return a trial's number in its storage, by which `optuna.trial.Trial` is made again."""
    return int(trial._trial_id)


def stored(trial: Trial) -> FrozenTrial:
    """Return what the storage holds of a trial now."""
    return trial.study._storage.get_trial(trial._trial_id)


def store_value(trial: Trial, step: int, value: float) -> None:
    """Store the score at an evaluation point, also where `Trial.report` refuses to."""
    trial.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)


def begin(study: Study, trial: FrozenTrial) -> bool:
    """Make a waiting trial a running one; False if another driver did."""
    return study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)


def state_now(study: Study, trial: FrozenTrial) -> TrialState:
    """Return the state of a trial in the storage now."""
    return study._storage.get_trial(trial._trial_id).state
