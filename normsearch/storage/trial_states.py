"""How a trial ended, and how the sampler learns that its choice does not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, Trial, TrialState

FINISHED = ("COMPLETE", "PRUNED", "FAIL")
"""The states of trials that count as done; see `outcome`."""

DUPLICATE_OF = "duplicate_of"
"""The attribute of a repetition: the number of the trial whose record answered it."""


def is_repeat(trial: FrozenTrial) -> bool:
    """Whether a trial only repeats an earlier one; such trials do not count as asked for."""
    return DUPLICATE_OF in trial.user_attrs


def outcome(trial: FrozenTrial) -> str:
    """Return the name of a trial's state; FAIL where memory did not suffice, see `mark_infeasible`.

    DUPLICATE for one that was answered from an earlier trial's record.
    """
    if is_repeat(trial):
        return "DUPLICATE"
    if trial.state == TrialState.PRUNED and "failure" in trial.user_attrs:
        return TrialState.FAIL.name
    return trial.state.name


def single_norm(trial: FrozenTrial) -> str | None:
    """Return the norm of a trial that has the same one in all slots, None of a mixture."""
    attributes = trial.user_attrs
    name: str | None = attributes.get("single_norm", attributes.get("baseline"))
    return name


def share_of_single_norms(trials: Sequence[FrozenTrial]) -> tuple[int, int]:
    """Return how many trials tune single norms, and how many are mixtures of the sampler's.

    Defaults, known points and repetitions are neither.
    """
    open_to_choice = [
        trial
        for trial in trials
        if not {"baseline", "source"} & trial.user_attrs.keys() and not is_repeat(trial)
    ]
    tuning = sum("single_norm" in trial.user_attrs for trial in open_to_choice)
    return tuning, len(open_to_choice) - tuning


def mark_infeasible(trial: Trial) -> TrialState:
    """Tell the sampler by a violated constraint that `trial` needs too much memory.

    Returns the state to tell: PRUNED, for Optuna's samplers look at no failed trial, and one they
    do not see they would suggest again.
    """
    if "memory" not in trial.constraints:
        trial.set_constraint("memory", 1.0)
    return TrialState.PRUNED
