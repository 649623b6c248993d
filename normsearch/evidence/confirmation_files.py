"""A confirmation as files in its run's folder, for the report, for figures and for programs.

confirmation.csv has a row an arm, the best first: what `compare` gives, and trial and search_score
(in the search it is from), failed (trainings), hd95 and hd95_sd (mm), surface_dice and
surface_dice_sd (over cases; seeds and classes averaged), missed (of all trainings, cases and
classes). confirmation.json has these rows as ``arms``, and study, confirms, metric, finished,
reference, reference_score, seeds, cases, cases_left_out, folds, seen_folds, spread {seed,
interaction, case}, power {detectable, share, at_seed_spread, and the ends of both ranges}, failures
{arm: reasons}, left_out {norm: reason} and sentences; null stands for what there is not.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from normsearch.evidence.confirmation import Confirmation, confirmation
from normsearch.evidence.words import sentences
from normsearch.files import write_text
from normsearch.search.records import StudyRecord

_PLAIN = (
    *("study", "confirms", "metric", "finished", "reference", "reference_score", "seeds"),
    *("cases", "cases_left_out", "folds", "seen_folds", "failures", "left_out"),
)


def write_confirmation(record: StudyRecord) -> Confirmation:
    """Write confirmation.csv and confirmation.json into the run's folder; return what they say.

    Raises:
        StudyError: the study is a search, or no arm is trained yet.
    """
    found = confirmation(record)
    write_text(record.folder / "confirmation.csv", found.table.to_csv(index=False))
    text = json.dumps(plain(found), indent=2, allow_nan=False)
    write_text(record.folder / "confirmation.json", text + "\n")
    return found


def plain(found: Confirmation) -> dict[str, Any]:
    """Return a confirmation as JSON has it."""
    comparison = found.comparison
    values: dict[str, Any] = _known(
        {
            **{name: getattr(found, name) for name in _PLAIN},
            "arms": found.table.to_dict("records"),
            "spread": comparison.spread and asdict(comparison.spread),
            "power": comparison.power and asdict(comparison.power),
            "sentences": sentences(found),
        }
    )
    return values


def _known(value: Any) -> Any:
    """`value` with None for NaN and infinity, lists for tuples, and numbers of Python's own."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else None
