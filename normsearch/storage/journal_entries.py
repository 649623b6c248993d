"""The form of the entries of an Optuna journal, to check lines without a checksum."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

from normsearch.storage.optuna_access import JournalOperation

CREATE_STUDY, CREATE_TRIAL = int(JournalOperation.CREATE_STUDY), int(JournalOperation.CREATE_TRIAL)


def is_operation(entry: Any) -> bool:
    """Whether an entry is an operation that Optuna can apply."""
    if not isinstance(entry, dict) or not isinstance(entry.get("worker_id"), str):
        return False
    needs = _NEEDS.get(entry["op_code"]) if _is_count(entry.get("op_code")) else None
    return (
        needs is not None
        and all(name in entry and test(entry[name]) for name, test in needs.items())
        and all(test(entry[name]) for name, test in _MAY.items() if name in entry)
        and _has_time(entry)
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_one(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1


def _is_state(value: Any) -> bool:
    return _is_count(value) and value in {int(state) for state in TrialState}


def _is_time(value: Any) -> bool:
    try:
        return value is None or bool(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _is_distribution(value: Any) -> bool:
    try:
        return bool(json_to_distribution(value))
    except (TypeError, ValueError, LookupError, AttributeError):
        return False


def _are_distributions(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_distribution, value.values()))


def _are_numbers(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_number, value)))


def _are_directions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(v in (1, 2) for v in value)


def _is_user_attribute(value: Any) -> bool:
    """Whether this is one name and value, of the right type for names that the search uses."""
    if not _is_one(value):
        return False
    name, content = next(iter(value.items()))
    if name.startswith("evaluation:"):
        return isinstance(content, dict) and content.keys() >= _RECORD
    return isinstance(content, _KINDS.get(name, object)) and not isinstance(content, bool)


_RECORD = {"evaluation", "samples", "steps", "seconds", "loss", "score"}
_KINDS: dict[str, type] = {
    **dict.fromkeys(("norm_map", "values"), dict),
    **dict.fromkeys(("single_norm", "baseline", "failure", "drawn", "identity"), str),
    **dict.fromkeys(("resumes", "crashes", "deletions", "duplicate_of", "pruned_at"), int),
    **dict.fromkeys(("replicate_of", "seed", "race", "race_size", "round", "entrants"), int),
    "crashes_at": list,
}
_Needs = dict[str, Callable[[Any], bool]]
_NEEDS: dict[int, _Needs] = {
    JournalOperation.CREATE_STUDY: {"study_name": _is_text, "directions": _are_directions},
    JournalOperation.DELETE_STUDY: {"study_id": _is_count},
    JournalOperation.SET_STUDY_USER_ATTR: {"study_id": _is_count, "user_attr": _is_user_attribute},
    JournalOperation.SET_STUDY_SYSTEM_ATTR: {"study_id": _is_count, "system_attr": _is_one},
    JournalOperation.CREATE_TRIAL: {"study_id": _is_count, "datetime_start": _is_time},
    JournalOperation.SET_TRIAL_PARAM: {
        "trial_id": _is_count,
        "param_name": _is_text,
        "param_value_internal": _is_number,
        "distribution": _is_distribution,
    },
    JournalOperation.SET_TRIAL_STATE_VALUES: {
        "trial_id": _is_count,
        "state": _is_state,
        "values": _are_numbers,
    },
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE: {
        "trial_id": _is_count,
        "step": _is_count,
        "intermediate_value": _is_number,
    },
    JournalOperation.SET_TRIAL_USER_ATTR: {"trial_id": _is_count, "user_attr": _is_user_attribute},
    JournalOperation.SET_TRIAL_SYSTEM_ATTR: {"trial_id": _is_count, "system_attr": _is_one},
    JournalOperation.DISCARD_TRIALS: {},
}
_MAY: _Needs = {
    "state": _is_state,
    "distributions": _are_distributions,
    "params": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "user_attrs": lambda value: isinstance(value, dict),
    "system_attrs": lambda value: isinstance(value, dict),
    "datetime_start": _is_time,
    "datetime_complete": _is_time,
}


def _has_time(entry: dict[str, Any]) -> bool:
    """Whether a change of state has the time that Optuna expects."""
    if entry["op_code"] != JournalOperation.SET_TRIAL_STATE_VALUES:
        return True
    state = TrialState(entry["state"])
    name = "datetime_start" if state == TrialState.RUNNING else "datetime_complete"
    return state == TrialState.WAITING or isinstance(entry.get(name), str)
