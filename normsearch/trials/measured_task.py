"""Measures the settings of a task that its cases decide, and says what they do to the cases.

``spacing: median`` and ``intensity: ct`` become numbers once, when a study is prepared. The numbers
are part of its task from then on, so that every trial, a resumed run, an exported model and a
confirmation use the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from normsearch.config import ForegroundIntensities, TaskConfig
from normsearch.config.reading import validate
from normsearch.data import Case, CaseFiles, Preparation, resampling_to, survey
from normsearch.data.in_memory import places_of
from normsearch.data.measures import Measures, foreground_of, measure_files, measure_items
from normsearch.data.spacing import median_spacing, spacing_text
from normsearch.errors import DataError, count
from normsearch.trials.task import data_folder, load_task, preparation_of, split_task

_SHOWN = 5


class _Parts(NamedTuple):
    """Ids of the cases that may be measured."""

    train: set[str]
    seen: set[str]  # also those to validate on


def measure_task(
    task: TaskConfig,
    data: Path | None,
    items: Sequence[Any] | None = None,
    *,
    in_turn: Sequence[str] = (),
) -> TaskConfig:
    """Return the task with numbers for the settings that are measured on its cases.

    ``spacing: median`` is of training and validation cases, ``intensity: ct`` of the foreground of
    training cases. Test cases are not measured; with ``folds`` their labels decide who they are.

    Args:
        task: the task; `TaskConfig.unmeasured` says which settings are left to measure.
        data: the folder of the data sets.
        items: the data set if it is in memory.
        in_turn: folds that are tested one after another, of which no case is measured.

    Raises:
        DataError: a case cannot be used, a spacing is unknown, or there is no case to measure.
    """
    if not (missing := task.unmeasured):
        return task
    plain = task.model_copy(update={"spacing": None, "size": None, "intensity": "minmax"})
    known: Sequence[CaseFiles | Case]
    if task.folds:  # made from the labels
        known = load_task(plain, data, items)
    else:
        known = places_of(items) if items is not None else _files(task, data)
    parts = _parts(task, known, in_turn)
    preparation = preparation_of(plain)
    needed = parts.seen if "spacing" in missing else parts.train
    found = _measured(task, data, items, preparation, needed)
    update: dict[str, Any] = {}
    if "spacing" in missing:
        update["spacing"] = _median(task, found)
    if "foreground_intensities" in missing:
        trained = {name: one for name, one in found.items() if name in parts.train}
        update["foreground_intensities"] = _foreground(task, trained)
    return task.model_copy(update=update)


def with_recorded(task: TaskConfig, recorded: TaskConfig) -> TaskConfig:
    """Return the task with what a run of it recorded, for settings that its data decide."""
    auto = (name for name in ("layout", "size") if getattr(task, name) == "auto")
    update = {name: getattr(recorded, name) for name in (*auto, *task.unmeasured)}
    return task.model_copy(update=update)


def _files(task: TaskConfig, data: Path | None) -> list[CaseFiles]:
    return survey(data_folder(task, data), task.layout).cases


def _measured(
    task: TaskConfig,
    data: Path | None,
    items: Sequence[Any] | None,
    preparation: Preparation,
    chosen: Collection[str],
) -> dict[str, Measures]:
    if items is not None:
        return measure_items(items, preparation, chosen)
    return measure_files(data_folder(task, data), preparation, chosen, layout=task.layout)


def _parts(task: TaskConfig, known: Sequence[CaseFiles | Case], in_turn: Sequence[str]) -> _Parts:
    """Return the cases that no split tests, and those of them that every split trains on."""
    turns = [task.model_copy(update={"test_folds": (fold,)}) for fold in in_turn]
    nothing = np.zeros((0, 0, 0), np.uint8), (math.nan,) * 3
    cases = [
        Case(one.id, one.subject, one.fold, np.zeros((0, 0, 0, 0), np.float32), *nothing,
             lists=one.lists)
        for one in known
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the study splits the prepared cases again
        splits = [split_task(turn, cases) for turn in turns or [task]]
    train = set.intersection(*({case.id for case in split.train} for split in splits))
    tested = {case.id for split in splits for case in split.test}
    validated = {case.id for split in splits for case in split.validation}
    if not train - tested:
        raise DataError(
            f"{task.data}: must have cases outside of the test folds {', '.join(in_turn)} to "
            f"measure {' and '.join(map(_key, task.unmeasured))} on, got none; give numbers for "
            "it: task.spacing in mm, or for CT a window as task.intensity or "
            "task.foreground_intensities"
        )
    return _Parts(train - tested, (train | validated) - tested)


def _key(name: str) -> str:
    return {"spacing": "spacing: median", "foreground_intensities": "intensity: ct"}[name]


def _median(task: TaskConfig, found: Mapping[str, Measures]) -> tuple[float, ...]:
    axes = 2 if task.of_slices else 3
    unknown = [name for name, one in found.items() if not np.isfinite(one.spacing[-axes:]).all()]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DataError(
            f"{task.data}: all cases must give their spacing for task.spacing: median, and it is "
            f"unknown in {', '.join(unknown[:_SHOWN])}{more}; add it to their files, or leave "
            "task.spacing out"
        )
    measures = found.values()
    exact = median_spacing(
        [one.spacing[-axes:] for one in measures], [one.shape[-axes:] for one in measures]
    )
    return tuple(float(f"{step:.6g}") for step in exact)  # headers hold 0.95 as 0.94999999


def _foreground(
    task: TaskConfig, found: Mapping[str, Measures]
) -> tuple[ForegroundIntensities, ...]:
    rows = foreground_of(found.values())
    if not rows:
        raise DataError(
            f"{task.data}: training cases must have foreground for task.intensity: ct, got none in "
            f"{', '.join([*found][:_SHOWN])}; train on other cases, or correct task.foreground"
        )
    names = tuple(ForegroundIntensities.model_fields)
    return tuple(
        validate(
            ForegroundIntensities,
            dict(zip(names, row, strict=True)),
            f"{task.data}: intensities of channel {channel}",
        )
        for channel, row in enumerate(rows)
    )


def preparation_text(task: TaskConfig, cases: Sequence[Case]) -> list[str]:
    """Return sentences on what spacing and intensity of a task do to prepared cases.

    Args:
        task: with numbers; see `measure_task`.
        cases: all prepared cases.
    """
    texts = []
    if (target := task.target_spacing) and cases:
        ways = [resampling_to(case.whole_label.shape, case.whole_spacing, target) for case in cases]
        changed = sum(way.changes for way in ways)
        all_of = count(len(cases), "case")
        of = f"{changed} of {all_of}" if changed < len(cases) else all_of
        within = " within slices" if len(target) == 2 else ""
        to = f"{spacing_text(target)}{within}"
        texts.append(f"{of} resampled to {to}" if changed else f"{all_of} already at {to}")
    for number, row in enumerate(task.foreground_intensities or ()):
        channel = f" of channel {number}" if len(task.foreground_intensities or ()) > 1 else ""
        texts.append(
            f"intensities{channel} clipped to {row.percentile_00_5:g} to {row.percentile_99_5:g}, "
            f"then less {row.mean:.4g}, divided by {row.std:.4g} (foreground of training cases)"
        )
    return texts
