"""From a data set's files to cases that are ready for training, all made in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from normsearch.data.cache import Prepared, cached
from normsearch.data.cases import Case, CaseFiles
from normsearch.data.checks import mixed_orientation
from normsearch.data.faults import Fault, refuse, warn_once
from normsearch.data.labels import IGNORED
from normsearch.data.layouts import DataSet, survey
from normsearch.data.orientation import PLANES, Plane
from normsearch.data.reading import RawCase, read_case
from normsearch.data.segment_names import (
    absent_faults,
    clash_fault,
    colour_faults,
    named_segments,
    unnamed_fault,
)
from normsearch.data.spacing import resized_spacing
from normsearch.data.transforms import FITS, INTENSITIES, Fit, Intensity, normalized_image
from normsearch.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Preparation:
    """How images and labels are made comparable.

    Attributes:
        size: (y, x) or (slices, y, x) in pixels; None keeps each image's own.
        fit: ``resize`` (image: linear with antialiasing, label: nearest) or ``pad`` (the centre,
            cropped or padded with the smallest value). Resizing keeps an image's field of view and
            changes its spacing: what one size shows differs where the fields of view do.
        intensity: how each channel of each volume is mapped: ``minmax`` to 0..1; ``percentile``:
            the 0.5th to the 99.5th to 0..1, clipped; ``zscore`` to mean 0 and deviation 1; or a
            window (low, high), in HU for CT, to 0..1, clipped.
        foreground: label values that become 1; all but 0 if None.
        classes: label values that become 1 to K, in this order, all others 0; in place of
            `foreground`.
        segments: names of the segments that are label values 1, 2, ... of labels whose headers name
            segments; their own label values are taken if empty.
        ignore: label values that nobody annotated; they become `IGNORED`.
        plane: of the slices, of images that give an orientation; others are cut as they are stored.

    Raises:
        DataError: a value that cannot be.
    """

    size: tuple[int, ...] | None = None
    fit: Fit = "resize"
    intensity: Intensity = "percentile"
    foreground: tuple[int, ...] | None = None
    classes: tuple[int, ...] | None = None
    segments: tuple[str, ...] = ()
    ignore: tuple[int, ...] = ()
    plane: Plane = "axial"

    def __post_init__(self) -> None:
        size, intensity = self.size, self.intensity
        if size is not None and (len(size) not in (2, 3) or min(size) < 1):
            raise DataError(f"size must be (y, x) or (slices, y, x) pixels from 1 on, got {size}")
        if self.fit not in FITS:
            raise DataError(f"fit must be {' or '.join(FITS)}, got '{self.fit}'")
        if self.plane not in PLANES:
            raise DataError(f"plane must be one of {', '.join(PLANES)}, got '{self.plane}'")
        if isinstance(intensity, str):
            if intensity not in INTENSITIES:
                raise DataError(
                    f"intensity must be one of {', '.join(INTENSITIES)} or a window (low, high), "
                    f"got '{intensity}'.{did_you_mean(intensity, INTENSITIES)}"
                )
        elif len(intensity) != 2 or not intensity[0] < intensity[1]:
            raise DataError(
                f"an intensity window must be (low, high) with low < high, got {intensity}"
            )
        for name, values in (("foreground", self.foreground), ("classes", self.classes)):
            if values is not None and (not values or min(values) < 0 or max(values) > 255):
                raise DataError(f"{name} must be label values from 0 to 255, got {values}")
        both = sorted(set(self.ignore) & set(self.chosen))
        if both or not all(0 <= value <= 255 for value in self.ignore):
            raise DataError(
                "ignored label values must lie from 0 to 255 and be neither foreground nor "
                f"classes, got {', '.join(map(str, both or self.ignore))}; take them out of one"
            )
        if len(self.chosen) >= IGNORED:
            raise DataError(f"{IGNORED - 1} classes are the most, got {len(self.chosen)}")
        if self.foreground and self.classes:
            raise DataError(
                f"classes and foreground must not both be given, got {self.classes} and "
                f"{self.foreground}; leave one out"
            )

    @property
    def chosen(self) -> tuple[int, ...]:
        """The label values that are asked for by name."""
        return self.classes or self.foreground or ()

    def indices(self, label: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the class indices of label values from 0 to 255."""
        index = np.zeros(256, np.uint8)
        index[[*self.chosen] or slice(1, None)] = 1
        for number, value in enumerate(self.classes or (), 1):
            index[value] = number
        index[list(self.ignore)] = IGNORED
        return index[label.astype(np.uint8, copy=False)]


def prepare_case(
    files: CaseFiles,
    preparation: Preparation,
    *,
    root: Path | None = None,
    labels: Sequence[int] = (),
    channels: int | None = None,
) -> Prepared:
    """Read one case, check it and make it comparable with the others.

    Args:
        files: of the case.
        preparation: how.
        root: the folder that detached data files must lie in; each header's own if None.
        labels: the values that a label may have, beside 0; any if empty.
        channels: how many the image must have; any number if None.

    Raises:
        CaseError: the case cannot be used; it holds every fault.
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
    return prepared_from(raw, preparation, tuple(faults), classified=files.index is not None)


class CaseError(DataError):
    """A case that cannot be used; `faults` says why."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" | ".join(str(fault) for fault in faults if fault.severity == "error"))
        self.faults = list(faults)


def load_cases(
    root: Path, preparation: Preparation, *, layout: str = "auto", cache: Path | None = None
) -> list[Case]:
    """Return all cases of a data set, prepared, in order of their ids.

    Args:
        root: its folder, or a manifest.
        preparation: how to make them comparable.
        layout: a name in `LAYOUTS`, or ``auto``.
        cache: the folder that prepared cases are kept in; none are kept if None.

    Raises:
        DataError: one or more cases cannot be used; the message names each fault.
    """
    data_set, asked = survey(root, layout), (*preparation.chosen, *preparation.ignore)
    preparation = heeding(data_set, preparation)
    faults = [
        *data_set.faults,
        *_segments(data_set, preparation),
        *colour_faults(data_set.root, data_set.cases),
    ]
    cases, values = [], set[int]()
    oriented: dict[Path, bool] = {}
    labels, channels = _values(data_set, preparation), data_set.channels
    settings = {**asdict(preparation), "labels": labels, "channels": channels}
    for files in data_set.cases:

        def build(files: CaseFiles = files) -> Prepared:
            return prepare_case(
                files, preparation, root=data_set.root, labels=labels, channels=channels
            )

        try:
            kept = cache is not None and files.index is None  # IDX files are their own cache
            prepared = cached(cache, files, settings, build) if kept and cache else build()
        except CaseError as error:
            faults += error.faults
            continue
        faults += prepared.warnings
        values |= set(prepared.values)
        cases.append(as_case(files, prepared))
        oriented[files.images[0]] = prepared.oriented
    faults += mixed_orientation(data_set.root, oriented)
    refuse(data_set.root, faults)
    _check_values(data_set.root, asked, values)
    warn_once(data_set.root, faults)
    return cases


def heeding(data_set: DataSet, preparation: Preparation) -> Preparation:
    """Return the preparation with the label values that the data set itself calls ignored.

    Raises:
        DataError: they are asked for as foreground or classes; or the data set names regions of
            several values, and nothing says which of them is meant.
    """
    if data_set.regions and not preparation.chosen:
        raise DataError(str(regions_fault(data_set)))
    ignored = tuple(sorted({*preparation.ignore, *data_set.ignored}))
    return replace(preparation, ignore=ignored)


def regions_fault(data_set: DataSet) -> Fault:
    """Return what is wrong with labels that are regions, and how a task asks for one of them."""
    told = "; ".join(f"{name}: {list(values)}" for name, values in data_set.regions.items())
    name, values = next(iter(data_set.regions.items()))
    every = sorted(value for value in data_set.labels if value)
    return Fault(
        "regions",
        "",
        str(data_set.root),
        "have labels of one value each, or a task that names label values",
        f"regions that overlap ({told}), which are not trained side by side",
        f"task.foreground: {list(values)} trains '{name}', task.classes: {every} each label by "
        "itself",
    )


def _segments(data_set: DataSet, preparation: Preparation) -> list[Fault]:
    named = named_segments(data_set.cases)
    if preparation.segments:
        return absent_faults(data_set.cases, named, preparation.segments)
    return clash_fault(data_set.root, named) + unnamed_fault(data_set.cases, named)


def _values(data_set: DataSet, preparation: Preparation) -> list[int]:
    return sorted({*data_set.values, *preparation.ignore}) if data_set.values else []


def as_case(files: CaseFiles, prepared: Prepared) -> Case:
    """Return what was prepared as a case."""
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
    """Make a case that was read comparable with the others."""
    channels = normalized_image(raw.image, preparation.intensity)
    # A class has no place in the image: a mask stands in for it while the image is resized.
    mask = np.zeros(raw.image.shape[1:], np.uint8) if classified else preparation.indices(raw.label)
    image, target = torch.from_numpy(channels), torch.from_numpy(mask)
    own: dict[str, Any] = {}
    spacing = raw.spacing
    if preparation.size is not None:
        image, target = FITS[preparation.fit](image, target, preparation.size)
        if preparation.fit == "resize":
            spacing = resized_spacing(spacing, mask.shape, target.shape)
    if not classified and target.shape != mask.shape:
        own = {"own_label": mask, "own_spacing": raw.spacing}
        if preparation.fit == "pad" and any(np.less(target.shape, mask.shape)):
            own["uncropped"] = channels
    label = raw.label.astype(np.uint8) if classified else target.numpy()
    return Prepared(image.numpy(), label, spacing, raw.values, noted, raw.oriented, **own)
