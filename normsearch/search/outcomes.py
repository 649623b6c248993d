"""How a trial ended, and how the sampler learns that its choice does not fit into memory."""

from __future__ import annotations

from optuna.trial import FrozenTrial, Trial, TrialState


def outcome(trial: FrozenTrial) -> str:
    """Return the name of a trial's state; FAIL where memory did not suffice, see `forbid`.

    DUPLICATE for one that was answered from an earlier trial's record.
    """
    if "duplicate_of" in trial.user_attrs:
        return "DUPLICATE"
    if trial.state == TrialState.PRUNED and "failure" in trial.user_attrs:
        return TrialState.FAIL.name
    return trial.state.name


def forbid(trial: Trial) -> TrialState:
    """Tell the sampler by a violated constraint that `trial` needs too much memory.

    Returns the state to tell: PRUNED, for Optuna's samplers look at no failed trial, and one they
    do not see they would suggest again.
    """
    if "memory" not in trial.constraints:
        trial.set_constraint("memory", 1.0)
    return TrialState.PRUNED
