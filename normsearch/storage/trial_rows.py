"""A trial as a row of the table of a study's trials, see `StudyRecord.trials`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial

from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.space.choice import LABELS
from normsearch.storage.objectives import score
from normsearch.storage.trial_states import (
    REPLICATE_OF,
    is_replicate,
    last_record,
    outcome,
    single_norm,
)

_MEASURED = {
    "samples": "samples",
    "steps": "steps",
    "seconds": "seconds",
    "peak_memory_bytes": "peak_memory",
    "parameters": "parameters",
    "seam": "seam",
}  # name in the record of an evaluation, by column


def columns(slots: Iterable[str]) -> list[str]:
    """Return the names of the columns of a study with these norm slots."""
    found = ["number", "state", "score", "last_score", "baseline", "single_norm"]
    chosen = [*LABELS, REPLICATE_OF, *HYPERPARAMETERS]
    norms = (f"norm.{slot}" for slot in slots)
    return [*found, *chosen, *_MEASURED, "resumes", "failure", "drawn", *norms]


def row(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values of a trial by column; what was not chosen is None."""
    last = last_record(trial)
    return {
        "number": trial.number,
        "state": outcome(trial),
        "score": score(trial) if outcome(trial) == "COMPLETE" else None,
        "last_score": last.get("score"),
        "baseline": trial.user_attrs.get("baseline"),
        "single_norm": single_norm(trial),
        **dict.fromkeys((*LABELS, *HYPERPARAMETERS)),
        **({"seed": trial.user_attrs["seed"]} if is_replicate(trial) else {}),
        **trial.user_attrs.get("values", {}),
        REPLICATE_OF: trial.user_attrs.get(REPLICATE_OF),
        **{column: last.get(name) for column, name in _MEASURED.items()},
        "resumes": trial.user_attrs.get("resumes", 0),
        "failure": trial.user_attrs.get("failure"),
        "drawn": trial.user_attrs.get("drawn"),
        **{f"norm.{slot}": spec for slot, spec in trial.user_attrs.get("norm_map", {}).items()},
    }
