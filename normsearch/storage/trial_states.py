"""The final states of trials, and how the sampler learns that a choice exceeds the memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

FINISHED = ("COMPLETE", "PRUNED", "FAIL")
"""The states of finished trials, which are not trained again."""
DUPLICATE_OF = "duplicate_of"
"""The attribute of a repetition: the number of the trial whose record was copied."""
REPLICATE_OF = "replicate_of"
"""The attribute of a replicate: the number of the trial whose configuration it trains again."""


def is_repeat(trial: FrozenTrial | Trial) -> bool:
    """Whether a trial only repeats an earlier one; such trials do not count."""
    return DUPLICATE_OF in trial.user_attrs


def is_replicate(trial: FrozenTrial | Trial) -> bool:
    """Whether a trial trains an earlier one's configuration with another seed, in a race."""
    return REPLICATE_OF in trial.user_attrs


def outcome(trial: FrozenTrial) -> str:
    """Return the name of a trial's state.

    It is FAIL for a trial that exceeded the memory (see `mark_infeasible`), and DUPLICATE for one
    that was answered from an earlier trial's record.
    """
    if is_repeat(trial):
        return "DUPLICATE"
    if trial.state == TrialState.PRUNED and "failure" in trial.user_attrs:
        return TrialState.FAIL.name
    return trial.state.name


def completed(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the COMPLETE ones of `trials`, without repetitions."""
    return [trial for trial in trials if outcome(trial) == TrialState.COMPLETE.name]


def eligible(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the `completed` ones of `trials` that keep every constraint: they may be the best."""
    return [trial for trial in completed(trials) if not violated(trial)]


def violated(trial: FrozenTrial) -> bool:
    """Whether a trial exceeds a constraint of the search, or the memory."""
    return any(above > 0 for above in trial.constraints.values())


def finished(states: Iterable[str]) -> int:
    """Return how many trials are finished, by their `outcome`."""
    return sum(state in FINISHED for state in states)


def evaluation_records(trial: FrozenTrial) -> list[dict[str, Any]]:
    """Return the records of a trial's evaluations, in order."""
    steps = sorted(trial.intermediate_values)
    records = (trial.user_attrs.get(f"evaluation:{step}") for step in steps)
    return [record for record in records if record]  # one may be lost in a damaged line


def last_record(trial: FrozenTrial) -> dict[str, Any]:
    """Return the record of a trial's last evaluation, empty before the first."""
    return (evaluation_records(trial) or [{}])[-1]


def single_norm(trial: FrozenTrial) -> str | None:
    """Return the norm of a trial with one norm in all slots, None for a mixture."""
    attributes = trial.user_attrs
    name: str | None = attributes.get("single_norm", attributes.get("baseline"))
    return name


def share_of_single_norms(trials: Sequence[FrozenTrial]) -> tuple[int, int]:
    """Return how many trials tune single norms, and how many are mixtures from the sampler.

    Defaults, initial trials, repetitions and replicates count as neither.
    """
    left_out = {"baseline", "source", DUPLICATE_OF, REPLICATE_OF}
    open_to_choice = [trial for trial in trials if not left_out & trial.user_attrs.keys()]
    tuning = sum("single_norm" in trial.user_attrs for trial in open_to_choice)
    return tuning, len(open_to_choice) - tuning


def mark_infeasible(trial: Trial) -> TrialState:
    """Record as a violated constraint that `trial` needs too much memory.

    Returns:
        PRUNED, the state to record: Optuna's samplers ignore failed trials, and would suggest the
        same choice again.
    """
    if "memory" not in trial.constraints:
        trial.set_constraint("memory", 1.0)
    return TrialState.PRUNED
