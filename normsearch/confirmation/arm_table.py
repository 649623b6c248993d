"""The arms of a confirmation as a table: their roles, settings, steps, failures and surfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from normsearch.config import Arm, ArmsConfig, StudyConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.config.metric import Direction
from normsearch.confirmation.held_out import SURFACES
from normsearch.files import is_file
from normsearch.files.table_file import (
    Column,
    as_number,
    as_one_of,
    as_text,
    as_whole,
    read_typed_table,
)
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import trial_folder

SINGLE, MIXTURE, AT_SETTING = "single norm", "mixture", "reference at another setting"
_SURFACES: dict[str, Column] = {
    "case": as_text,
    "class": as_whole,
    "hd95": as_number,
    "surface_dice": as_number,
    "missed": as_whole,
    "unit": as_one_of("mm", "pixels"),
}
ALWAYS = ("learning_rate", "batch_size")
"""The columns of settings that are shown even if all arms agree."""


@dataclass(frozen=True)
class Roles:
    """The roles of the arms.

    `singles`: single norms, each at its own best setting; `untuned`: those that the search
    completed at too few settings. `mixtures`: arms of several norms. `beside`: {arm: the arm that
    trains the reference at its setting}, None if there is no such arm.
    """

    singles: tuple[str, ...] = ()
    mixtures: tuple[str, ...] = ()
    beside: Mapping[str, str | None] = field(default_factory=dict)
    untuned: tuple[str, ...] = ()


def roles_of(space: ArmsConfig) -> Roles:
    """Return the roles of the arms, as planned before any score was seen.

    Without a recorded plan, arms with one norm in every slot are single norms; the others are
    mixtures if the arms come from a search.
    """
    origin = space.origin
    if origin and origin.beside:
        single = tuple(name for name in origin.trials if name not in origin.mixtures)
        return Roles(single, origin.mixtures, dict(origin.beside), tuple(origin.untuned))
    single = tuple(arm.name for arm in space.arms if set(arm.norm) == {"*"})
    reference = next((arm for arm in space.arms if arm.name == space.reference), space.arms[0])
    mixtures = [arm for arm in space.arms if origin and arm.name not in single]
    beside = {
        arm.name: reference.name if _setting(arm) == _setting(reference) else None
        for arm in mixtures
    }
    return Roles(single, tuple(beside), beside)


def reference_of(
    space: ArmsConfig, roles: Roles, trained: set[str], direction: Direction
) -> tuple[str, str | None]:
    """Return the planned reference, and the arm to compare with; None if none was trained."""
    first = space.reference or space.arms[0].name
    scores: Mapping[str, float] = space.origin.scores if space.origin else {}
    sign = -1 if direction == "maximize" else 1
    order = [first, *sorted(roles.singles, key=lambda name: sign * scores.get(name, 0.0))]
    return first, next((name for name in order if name in trained), None)


def described(
    table: pd.DataFrame, config: StudyConfig, trials: pd.DataFrame, surfaces: pd.DataFrame
) -> pd.DataFrame:
    """Return the comparison with further facts of each arm; arms never trained come last.

    Args:
        table: result of `compare` or `judged`.
        config: the study of arms.
        trials: its trials.
        surfaces: see `read_surfaces`.
    """
    space: Any = config.space
    absent = [arm.name for arm in space.arms if arm.name not in set(table["arm"])]
    rows = pd.DataFrame({"arm": absent, "verdict": "not trained", "seeds": 0, "cases": 0})
    table = pd.concat([table, rows], ignore_index=True) if absent else table.copy()
    origin = space.origin
    columns = {
        "role": _role_of_each(space),
        "trial": origin.trials if origin else {},
        "search_score": origin.scores if origin else {},
        **settings(config),
        "steps": trials[trials["state"] == "COMPLETE"].groupby("arm")["steps"].median().to_dict(),
    }
    for place, (name, values) in enumerate(columns.items(), 1):
        table.insert(place, name, table["arm"].map(values))
    failed = trials.loc[trials["state"] == "FAIL", "arm"].value_counts()
    table["failed"] = [int(failed.get(arm, 0)) for arm in table["arm"]]
    measured = [_surface_means(surfaces[surfaces["arm"] == arm]) for arm in table["arm"]]
    return pd.concat([table, pd.DataFrame(measured)], axis=1)


def settings(config: StudyConfig) -> dict[str, dict[str, Any]]:
    """Return {name: {arm: value}} of learning rate, batch size and other differences of the arms.

    A value that an arm leaves out is that of the study's training or network.
    """
    space: Any = config.space
    defaults = {**config.training.model_dump(), **config.network.model_dump(), "affine": True}
    each = {
        arm.name: {**{k: v for k, v in _setting(arm).items() if v is not None}, **arm.training}
        for arm in space.arms
    }
    names = dict.fromkeys([*ALWAYS, *(name for values in each.values() for name in values)])
    found = {
        name: {arm: values.get(name, defaults.get(name)) for arm, values in each.items()}
        for name in names
    }
    return {
        name: values
        for name, values in found.items()
        if name in ALWAYS or len({str(value) for value in values.values()}) > 1
    }


def read_surfaces(record: StudyRecord) -> pd.DataFrame:
    """Return the surfaces.csv of all COMPLETE trials; see `normsearch.confirmation.held_out`.

    Columns: number, arm, seed, fold, case, class, hd95, surface_dice, missed, unit (of hd95; mm if
    a file does not give it).

    Raises:
        DataError: a file is not such a table.
    """
    labels = ["number", "arm", "seed", "fold"]
    columns = [*labels, "case", "class", "hd95", "surface_dice", "missed", "unit"]
    parts = []
    trials = record.trials()
    for row in trials[trials["state"] == "COMPLETE"].to_dict("records"):
        path = trial_folder(record.folder, int(row["number"])) / SURFACES
        if is_file(path):
            part = pd.DataFrame(
                read_typed_table(path, _SURFACES, optional=("unit",), key=("case", "class"))
            )
            part = part if "unit" in part else part.assign(unit="mm")
            parts.append(part.assign(**{name: row[name] for name in labels})[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def unit_of(surfaces: pd.DataFrame) -> str:
    """Return the unit of the Hausdorff distances, ``mm`` if there are none."""
    return " or ".join(sorted(surfaces["unit"].dropna().unique())) or "mm"


def _setting(arm: Arm) -> dict[str, Any]:
    return {name: getattr(arm, name) for name in HYPERPARAMETERS}


def _role_of_each(space: ArmsConfig) -> dict[str, str]:
    if space.origin is None:
        return {}
    roles = roles_of(space)
    found = dict.fromkeys(roles.singles, SINGLE) | dict.fromkeys(roles.mixtures, MIXTURE)
    return {arm.name: found.get(arm.name, AT_SETTING) for arm in space.arms}


def _surface_means(part: pd.DataFrame) -> dict[str, Any]:
    by_case = part.groupby("case")[["hd95", "surface_dice"]].mean()
    return {
        "hd95": by_case["hd95"].mean(),
        "hd95_sd": by_case["hd95"].std(),
        "hd95_unit": unit_of(part),
        "surface_dice": by_case["surface_dice"].mean(),
        "surface_dice_sd": by_case["surface_dice"].std(),
        "missed": part["missed"].sum() if len(part) else math.nan,
    }
