"""Loads, samples and splits the cases of a task."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normsearch.config import GeometryConfig, TaskConfig
from normsearch.config.base import shared
from normsearch.config.reading import Part, keys_of
from normsearch.config.task import OWN_DATA
from normsearch.data import (
    LAYOUTS,
    SAMPLINGS,
    Augment,
    BatchLoader,
    Case,
    Patches,
    PatchLoader,
    Preparation,
    SampleLoader,
    Sampling,
    Split,
    cases_of,
    classes_shown,
    detect_layout,
    fingerprint,
    generate_phantom,
    load_cases,
    overfit_split,
    split_cases,
    spread_cases,
    survey,
    test_split,
    with_made_folds,
)
from normsearch.data.in_memory import places_of
from normsearch.errors import ConfigError, DataError, short
from normsearch.files import cache_folder, is_there, user_path

MEMORY = "memory"
"""The value of `TaskConfig.data` for a data set in memory."""


def in_memory(data: object) -> bool:
    """Return whether a data set is in memory instead of a folder.

    Raises:
        DataError: it is neither a folder nor a sequence.
    """
    if data is None or isinstance(data, str | Path):
        return False
    kind = type(data)
    several = hasattr(kind, "__len__") and hasattr(kind, "__getitem__")
    if not several or isinstance(data, Mapping | bytes):
        raise DataError(
            "data: must be a folder, or a sequence of cases such as a list, got "
            f"{kind.__name__}; for an iterator, give list(...)"
        )
    return True


def data_source(data: Any) -> tuple[Path | None, Sequence[Any] | None]:
    """Return the folder of data sets and None, or None and the data set in memory."""
    if in_memory(data):
        return None, data
    return None if data is None else Path(data), None


def task_keys(task: Part, data: object) -> Any:
    """Return a task given in Python, with `MEMORY` as its data set if `data` is the data set.

    Raises:
        ConfigError: the task names a data set too.
    """
    keys = keys_of(task, of_text="data") if task else {}
    if not in_memory(data) or not isinstance(keys, dict):  # `validate` refuses other types
        return task
    if (given := keys.get("data", MEMORY)) not in (MEMORY, OWN_DATA):
        raise ConfigError(
            f"task.data: must be left out where data is the data set itself, got {short(given)}."
        )
    return {**keys, "data": MEMORY}


def data_folder(task: TaskConfig, data: Path | None) -> Path:
    """Return the folder (or manifest) of a task's cases; generate the phantom if necessary.

    A relative `task.data` is below `data`, or below the working folder if None; `data` may also be
    the data set itself.

    Raises:
        DataError: the data set does not exist.
    """
    if task.data == MEMORY:
        raise DataError(
            "task.data: must be given again, as this data set was in memory; go on in Python: "
            "normsearch.open_study(NAME, data=[...]).resume(), or .confirm()"
        )
    if task.data == "phantom":
        return generate_phantom(cache_folder(), **task.phantom.model_dump())
    named = user_path(task.data)
    bases = [data / named, data] if data else [named]
    own = ":" in task.layout
    found = [base for base in bases if is_there(base) and (own or detect_layout(base))]
    if not found:
        raise DataError(
            f"{bases[0]}: must be a data set in one of the layouts {', '.join(LAYOUTS)} (see "
            "normsearch list layouts), and is not; "
            "give the folder that holds it with --data (or NORMSEARCH_DATA)."
        )
    return found[0]


def resolve_task(task: TaskConfig, data: Path | None) -> TaskConfig:
    """Return the task with the settings that depend on the data: layout, and classes of images.

    Raises:
        DataError: the data set does not exist, or its files cannot be assigned to cases.
    """
    found = survey(data_folder(task, data), task.layout)
    if found.kind == "segmentation":
        return task.model_copy(update={"layout": found.layout})
    classes = tuple(found.labels)
    given = task.foreground or task.ignore or task.classes not in (None, classes)
    given = given or task.spacing is not None or task.intensity == "ct"
    if task.sample != "slice" or given:
        raise ConfigError(
            f"task: images of {found.root} have a class each, so sample must be slice and "
            "foreground, classes, ignore, spacing and intensity ct left out; delete those keys"
        )
    return task.model_copy(update={"layout": found.layout, "classes": classes})


def load_task(
    task: TaskConfig, data: Path | None, items: Sequence[Any] | None = None
) -> list[Case]:
    """Read and prepare every case of a task, or load it from the cache.

    Args:
        task: the task.
        data: the folder of the data sets, or the data set itself.
        items: the data set if it is in memory.

    Raises:
        DataError: the folder is missing, or cases cannot be used (all are named).
    """
    preparation = preparation_of(task)
    if items is not None:
        cases = cases_of(items, preparation)
    else:
        folder, cache = data_folder(task, data), cache_folder() / "cases"
        cases = load_cases(folder, preparation, layout=task.layout, cache=cache)
    return with_made_folds(cases, task.folds) if task.folds else cases


def preparation_of(task: TaskConfig) -> Preparation:
    """Return how a task prepares its cases.

    Raises:
        DataError: a setting that is measured on the cases is not measured yet.
    """
    classes = None if task.kind == "classification" else task.classes
    rows = task.foreground_intensities
    foreground = None if rows is None else tuple(row.row for row in rows)
    own = {"classes": classes, "foreground_intensities": foreground}
    own["size"] = task.sides or None if task.sample != "patch" else None  # cut from whole images
    return Preparation(**{**shared(task, Preparation), **own})


def task_folds(
    task: TaskConfig, data: Path | None, items: Sequence[Any] | None = None
) -> tuple[str, ...]:
    """Return the folds of a task's data set, or those that the task asks to make.

    Arguments are as of `load_task`.

    Raises:
        DataError: there are fewer than two folds, or a case is in several.
    """
    if task.folds:
        return tuple(str(number + 1) for number in range(task.folds))
    where, cure = "data", "give each case its fold, or set task.folds"
    if items is not None:
        cases = places_of(items, prepared=True)
    else:
        found = survey(data_folder(task, data), task.layout)
        where, cases, cure = str(found.root), found.cases, "add a folds.csv, or set task.folds"
    folds = tuple(sorted({fold for case in cases for fold in case.folds}))
    if len(folds) < 2:
        raise DataError(
            f"{where}: must name at least two folds to test on each in turn, got "
            f"{', '.join(folds) or 'none'}; {cure}"
        )
    several = [case.id for case in cases if len(case.folds) > 1]
    if several:
        raise DataError(
            f"{where}: must have each case in one fold at most to test on each fold in turn, "
            f"got {', '.join(several[:5])} in several; give each one fold in a folds.csv"
        )
    return folds


def sampling_of(task: TaskConfig) -> Sampling:
    """Return how a task cuts whole cases: for patches into what windows slide over."""
    return SAMPLINGS[task.whole](task.slices, task.shared)


def sample_shape(task: TaskConfig, cases: Sequence[Case]) -> tuple[int, ...]:
    """Return the (channels, *spatial) of a task's samples, those of the first case."""
    if task.sample == "patch":
        return (cases[0].image.shape[1], *task.sides)
    return tuple(sampling_of(task).sample(cases[0], 0)[0].shape)


def task_loader(
    task: TaskConfig,
    cases: Sequence[Case],
    batch_size: int,
    seed: int,
    *,
    augment: Augment | None = None,
    workers: int = 0,
) -> BatchLoader:
    """Return a loader of a task's training samples; see `BatchLoader`.

    Raises:
        DataError: samples differ in shape or channels, or there is none.
    """
    how: dict[str, Any] = {"outputs": task.outputs, "augment": augment, "workers": workers}
    if task.sample != "patch":
        return SampleLoader(cases, batch_size, seed, sampling=sampling_of(task), **how)
    share = Patches.foreground_share if task.foreground_share is None else task.foreground_share
    return PatchLoader(cases, Patches(task.sides, share), batch_size, seed, **how)


def interim_cases(task: TaskConfig, validation: Sequence[Case]) -> Sequence[Case]:
    """Return the cases that evaluations before the last score."""
    if task.validation_cases is None:
        return validation
    return spread_cases(validation, task.validation_cases)


def training_geometry(cases: Sequence[Case]) -> GeometryConfig:
    """Return the orientation of prepared cases, and their spacing along slices, rows, columns."""
    axes = list(zip(*(case.spacing for case in cases), strict=True))
    known = [sorted(step for step in steps if math.isfinite(step)) for steps in axes]

    def each(of: Callable[[list[float]], float]) -> tuple[float | None, ...]:
        return tuple(float(of(steps)) if steps else None for steps in known)

    return GeometryConfig(
        oriented=cases[0].oriented,
        least=each(min),
        median=each(statistics.median),
        greatest=each(max),
        unknown=tuple(len(cases) - len(steps) for steps in known),
    )


def split_task(task: TaskConfig, cases: list[Case]) -> Split:
    """Return the training, validation and test cases of a task, split by subject."""
    if task.validation == "training":
        return overfit_split(cases, test_folds=task.test_folds)
    if task.validation == "test":
        return test_split(cases, test_folds=task.test_folds)
    return split_cases(
        cases,
        test_folds=task.test_folds,
        validation_folds=task.validation_folds,
        validation_fraction=task.validation_fraction,
        seed=task.split_seed,
    )


def check_foreground(task: TaskConfig, cases: Sequence[Case]) -> None:
    """Warn of classes that no case to score contains.

    Raises:
        DataError: no case contains foreground, so that there would be no score.
    """
    if task.kind == "classification":
        return
    present = classes_shown(cases)
    if not present:
        raise DataError(
            f"{task.data}: a validation case must contain foreground for a trial to have a score, "
            f"got none in {', '.join(case.id for case in cases[:5])}; choose other cases by "
            "task.validation_folds, or correct task.foreground"
        )
    if missing := sorted(set(range(1, max(task.outputs, 2))) - present):
        values = ", ".join(str(task.mask_values[index]) for index in missing)
        warnings.warn(
            f"{task.data}: no validation case contains the label values {values}, so scores do not "
            "include them",
            stacklevel=2,
        )


def check_fingerprint(cases: list[Case], expected: str | None, where: str) -> str:
    """Return the SHA-256 of `cases`.

    Raises:
        DataError: it differs from `expected`.
    """
    found = fingerprint(cases)
    if expected is not None and found != expected:
        raise DataError(
            f"{where}: must be trained on the data it started with (SHA-256 {expected[:12]}…), "
            f"got {found[:12]}…; restore the data, or start a new study."
        )
    return found
