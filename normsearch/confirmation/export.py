"""Files of a confirmation in its run's folder, for the report, for figures and for programs.

confirmation.csv has a row an arm, the best first: role, trial and search_score (in the search that
it is from), learning_rate, batch_size and other settings in which arms differ, steps (of a
training), the columns of `compare` and `judged`, failed (trainings), hd95 and hd95_sd (in
hd95_unit, mm or pixels), surface_dice and surface_dice_sd (over cases; seeds and classes averaged),
missed (of all trainings, cases and classes).

confirmation.json has these rows as ``arms``, and study, confirms, metric, finished,
trainings [ended, asked for], scored_on (test, validation or training), reference, reference_score,
seeds, cases, cases_left_out, design, decisions (in looks: {arm: [decision, seeds]}), folds,
seen_folds, hd95_unit, spread {seed, interaction, case}, power {arm, difference, found, share,
detectable; ranges {estimate, low, high}}, not_beaten {mixture: single norms}, failures {arm:
reasons}, left_out {norm: reason}, edges {arm: sentences} and sentences; missing values are null.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from normsearch.config import ItemError, Model
from normsearch.config.reading import validate
from normsearch.confirmation.comparison import Confirmation, confirmation
from normsearch.confirmation.summary_text import sentences
from normsearch.files import write_text
from normsearch.files.json_file import read_object
from normsearch.storage.records import StudyRecord

_PLAIN = (
    *(
        "study",
        "confirms",
        "metric",
        "direction",
        "finished",
        "trainings",
        "scored_on",
        "reference",
    ),
    *("reference_score", "seeds", "cases", "cases_left_out", "folds", "seen_folds", "hd95_unit"),
    *("failures", "left_out", "edges"),
)


Known = float | None
"""A number, None if it is unknown."""


def write_confirmation(record: StudyRecord) -> Confirmation:
    """Write confirmation.csv and confirmation.json to the run's folder; return their content.

    Raises:
        StudyError: the study is a search, or no arm is trained yet.
    """
    found = confirmation(record)
    write_text(record.folder / "confirmation.csv", found.table.to_csv(index=False))
    text = json.dumps(plain(found), indent=2, allow_nan=False)
    write_text(record.folder / "confirmation.json", text + "\n")
    return found


class ConfirmedArm(Model):
    """The keys of an arm in confirmation.json that are read again; unknown ones are null or absent.

    An arm also has the keys of its setting, ``learning_rate`` to ``steps``.
    """

    model_config = ConfigDict(extra="allow")

    arm: str
    verdict: str
    beside: str | None = None
    mean: Known
    sd: Known
    low: Known
    high: Known
    seed_sd: Known
    difference: Known
    total_low: Known
    total_high: Known
    p_holm: Known
    hd95: Known
    hd95_sd: Known
    surface_dice: Known
    surface_dice_sd: Known
    seeds: Known = None
    failed: Known = None
    collapsed: Known = None
    collapse_bound: Known = None
    false_positives: Known = None
    empty_cases: Known = None
    beside_difference: Known = None
    beside_low: Known = None
    beside_high: Known = None
    beside_p: Known = None


class _ConfirmationFile(Model):
    """The keys of confirmation.json that are read again."""

    model_config = ConfigDict(extra="allow")

    study: str
    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"
    finished: bool
    seeds: int
    cases: int
    reference: str = ""
    scored_on: Literal["test", "validation", "training"] = "test"
    hd95_unit: str = "mm"
    seen_folds: list[str]
    sentences: Annotated[list[str], Field(min_length=1)]
    arms: Annotated[list[ConfirmedArm], Field(min_length=1)]

    @model_validator(mode="after")
    def _arms_have_one_form(self) -> Self:
        for place, arm in enumerate(self.arms):
            if arm.model_fields_set != self.arms[0].model_fields_set:
                raise ItemError(f"arms[{place}]", "must have the keys of the first arm")
        return self


def read_confirmation(path: Path) -> dict[str, Any]:
    """Return the content of a confirmation.json.

    The keys of an arm keep their order.

    Raises:
        ConfigError: the file is damaged.
    """
    raw = read_object(path)
    found = validate(_ConfirmationFile, raw, str(path)).model_dump()
    arms = zip(raw["arms"], found["arms"], strict=True)
    found["arms"] = [
        {name: typed[name] for name in [*row, *(typed.keys() - row)]} for row, typed in arms
    ]
    return found


def plain(found: Confirmation) -> dict[str, Any]:
    """Return a confirmation as JSON values."""
    comparison, course = found.comparison, found.course
    values: dict[str, Any] = _known(
        {
            **{name: getattr(found, name) for name in _PLAIN},
            "arms": found.table.to_dict("records"),
            "spread": comparison.spread and asdict(comparison.spread),
            "power": comparison.power and asdict(comparison.power),
            "not_beaten": comparison.not_beaten,
            "design": course.space.design if course else "fixed",
            "decisions": {arm: told for arm, *told in course.decided()} if course else {},
            "sentences": sentences(found),
        }
    )
    return values


def _known(value: Any) -> Any:
    """Return `value` with None for NaN and infinity, lists for tuples, and Python's numbers."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else None
