"""Prepares the cases of a data set for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from normsearch.data.cache import Prepared, cached
from normsearch.data.cache_entries import asked_limit, keep_to_limit
from normsearch.data.cases import Case, CaseFiles
from normsearch.data.checks import check_resampling, mixed_orientation
from normsearch.data.faults import Fault, refuse, warn_once
from normsearch.data.layouts import DataSet, survey
from normsearch.data.preparation import Preparation
from normsearch.data.reading import RawCase, read_case
from normsearch.data.resampling import Resampling, resampling_to
from normsearch.data.segment_names import (
    Named,
    absent_faults,
    clash_fault,
    colour_faults,
    named_segments,
    nameless_fault,
    unnamed_fault,
)
from normsearch.data.spacing import Spacing, resized_spacing
from normsearch.data.transforms import fitted, normalized_image
from normsearch.errors import DataError
from normsearch.networks.digest import source_files

_CHECKED = 16  # cases after which the cache is brought to its size again


def prepare_case(
    files: CaseFiles,
    preparation: Preparation,
    *,
    root: Path | None = None,
    labels: Sequence[int] = (),
    channels: int | None = None,
) -> Prepared:
    """Read, check and prepare one case.

    Args:
        files: the files of the case.
        preparation: how to prepare it.
        root: the folder that must contain detached data files; the header's folder if None.
        labels: the allowed label values other than 0; any if empty.
        channels: the required number of channels; any if None.

    Raises:
        CaseError: the case cannot be used; the error holds all faults.
    """
    raw, faults = read_raw(files, preparation, root=root, labels=labels, channels=channels)
    more = check_grid(files.id, files.images[0], raw, preparation)
    if more:
        raise CaseError([*faults, *more])
    return prepared_from(raw, preparation, faults, classified=files.index is not None)


def read_raw(
    files: CaseFiles,
    preparation: Preparation,
    *,
    root: Path | None = None,
    labels: Sequence[int] = (),
    channels: int | None = None,
) -> tuple[RawCase, tuple[Fault, ...]]:
    """Read and check one case; return it as stored, and its faults that are not errors.

    Arguments and errors are those of `prepare_case`.
    """
    raw, faults = read_case(
        files,
        root=root,
        labels=labels,
        segments=preparation.segments,
        plane=preparation.plane,
        channels=channels,
    )
    if raw is None:
        raise CaseError(faults)
    return raw, tuple(faults)


def check_grid(case: str, path: Path, raw: RawCase, preparation: Preparation) -> list[Fault]:
    """Return why a case cannot be resampled as the preparation asks; nothing if it does not ask."""
    if preparation.spacing is None:
        return []
    return check_resampling(case, path, raw.image.shape[1:], raw.spacing, preparation.spacing)


class CaseError(DataError):
    """A case cannot be used; `faults` holds the reasons."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" | ".join(str(fault) for fault in faults if fault.severity == "error"))
        self.faults = list(faults)


def load_cases(
    root: Path, preparation: Preparation, *, layout: str = "auto", cache: Path | None = None
) -> list[Case]:
    """Return all cases of a data set, prepared, in order of their ids.

    Args:
        root: its folder, or a manifest.
        preparation: how to prepare the cases.
        layout: a name in `LAYOUTS`, ``auto``, or ``module:name``.
        cache: the folder of the cache of prepared cases; None disables it.

    Raises:
        DataError: one or more cases cannot be used; the message names the faults.
    """
    asked_limit()  # refuses a wrong one before hours of work
    data_set, asked = survey(root, layout), (*preparation.chosen, *preparation.ignore)
    preparation = with_ignored(data_set, preparation)
    named = named_segments(data_set.cases)
    faults = [
        *data_set.faults,
        *_segments(data_set, preparation, named),
        *colour_faults(data_set.root, data_set.cases),
    ]
    cases, values = list[Case](), dict[str, tuple[int, ...]]()
    oriented: dict[Path, bool] = {}
    labels, channels = allowed_values(data_set, preparation), data_set.channels
    settings = {**preparation.settings(), "labels": labels, "channels": channels}
    if own := preparation.functions:
        settings["code"] = source_files(text.partition(":")[0] for text in own)
        cache = cache if settings["code"] else None  # no file, for example in a notebook
    for files in data_set.cases:

        def build(files: CaseFiles = files) -> Prepared:
            return prepare_case(
                files, preparation, root=data_set.root, labels=labels, channels=channels
            )

        try:
            prepared = _from_cache(cache, data_set.root, files, settings, build)
        except CaseError as error:
            faults += error.faults
            continue
        faults += prepared.warnings
        values[files.id] = prepared.values
        cases.append(as_case(files, prepared))
        if cache is not None and len(cases) % _CHECKED == 0:
            keep_to_limit(cache, warn=False)
        oriented[files.images[0]] = prepared.oriented
    if cache is not None:
        keep_to_limit(cache)  # those that are used now are the last to go
    faults += mixed_orientation(data_set.root, oriented)
    if not preparation.segments:
        faults += nameless_fault(data_set.cases, named, values)
    refuse(data_set.root, faults)
    _check_values(data_set.root, asked, {value for own in values.values() for value in own})
    warn_once(data_set.root, faults)
    return cases


def _from_cache(
    cache: Path | None,
    root: Path,
    files: CaseFiles,
    settings: dict[str, Any],
    build: Callable[[], Prepared],
) -> Prepared:
    if cache is None or files.index is not None:  # IDX files need no cache
        return build()
    return cached(cache, files, settings, build, data_set=str(root))


def with_ignored(data_set: DataSet, preparation: Preparation) -> Preparation:
    """Return the preparation with the label values that the data set declares as ignored.

    Raises:
        DataError: they are also foreground or classes; or the data set has regions of several
            values, and the preparation does not choose label values.
    """
    if data_set.regions and not preparation.chosen:
        raise DataError(str(regions_fault(data_set)))
    ignored = tuple(sorted({*preparation.ignore, *data_set.ignored}))
    return replace(preparation, ignore=ignored)


def regions_fault(data_set: DataSet) -> Fault:
    """Return the fault of labels that are regions, with the settings that choose one of them."""
    regions = "; ".join(f"{name}: {list(values)}" for name, values in data_set.regions.items())
    name, values = next(iter(data_set.regions.items()))
    every = sorted(value for value in data_set.labels if value)
    return Fault(
        "regions",
        "",
        str(data_set.root),
        "have labels of one value each, or a task that names label values",
        f"regions that overlap ({regions}), which cannot be trained together",
        f"set task.foreground: {list(values)} for '{name}', or task.classes: {every} for each",
    )


def _segments(data_set: DataSet, preparation: Preparation, named: Named) -> list[Fault]:
    if preparation.segments:
        return absent_faults(data_set.cases, named, preparation.segments)
    return clash_fault(data_set.root, named) + unnamed_fault(data_set.cases, named)


def allowed_values(data_set: DataSet, preparation: Preparation) -> list[int]:
    """Return the label values other than 0 that a case may hold; any if empty."""
    return sorted({*data_set.values, *preparation.ignore}) if data_set.values else []


def as_case(files: CaseFiles, prepared: Prepared) -> Case:
    """Return a prepared case as a `Case`."""
    places = files.id, files.subject, files.fold
    return Case(
        *places,
        prepared.image,
        prepared.label,
        prepared.spacing,
        prepared.oriented,
        files.lists,
        prepared.uncropped,
        prepared.own_label,
        prepared.own_spacing,
    )


def _check_values(root: Path, asked: Sequence[int], found: set[int]) -> None:
    absent = [value for value in asked if value not in found]
    if absent and found:
        raise DataError(
            f"{root}: foreground, classes and ignore must be label values of the data set "
            f"({', '.join(map(str, sorted(found)))}), got {absent[0]}; correct the task"
        )


def prepared_from(
    raw: RawCase,
    preparation: Preparation,
    noted: tuple[Fault, ...] = (),
    *,
    classified: bool = False,
) -> Prepared:
    """Prepare a case that was read."""
    foreground = preparation.foreground_intensities or ()
    channels = normalized_image(raw.image, preparation.intensity, foreground)
    if classified:  # an empty mask takes the place of the label while the image is resized
        empty = np.zeros(raw.image.shape[1:], np.uint8)
        image, _, spacing = _fitted(channels, empty, raw.spacing, preparation)
        label = raw.label.astype(np.uint8)
        return Prepared(image, label, spacing, raw.values, noted, raw.oriented)
    mask = preparation.indices(raw.label)
    resampling, spacing = _resampling(raw, preparation), raw.spacing
    if resampling.changes:
        spacing = resized_spacing(spacing, resampling.shape, resampling.new_shape)
    channels, label = resampling.image(channels), resampling.label(mask)
    image, target, spacing = _fitted(channels, label, spacing, preparation)
    own: dict[str, Any] = {}
    if resampling.changes or target.shape != mask.shape:
        own = {"own_label": mask, "own_spacing": raw.spacing}
        if preparation.fit == "pad" and any(np.less(target.shape, label.shape)):
            own["uncropped"] = channels
    return Prepared(image, target, spacing, raw.values, noted, raw.oriented, **own)


def _resampling(raw: RawCase, preparation: Preparation) -> Resampling:
    shape = raw.image.shape[1:]
    if preparation.spacing is None:
        return Resampling(shape, shape)
    return resampling_to(shape, raw.spacing, preparation.spacing)


def _fitted(
    image: npt.NDArray[np.float32],
    label: npt.NDArray[np.uint8],
    spacing: Spacing,
    preparation: Preparation,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], Spacing]:
    """Return an image, its label and its spacing at the size of the preparation."""
    if preparation.size is None:
        return image, label, spacing
    tensors = torch.from_numpy(image), torch.from_numpy(label)
    new, target = fitted(*tensors, preparation.size, preparation.fit)
    if preparation.fit != "pad":
        spacing = resized_spacing(spacing, label.shape, target.shape)
    return new.numpy(), target.numpy(), spacing
