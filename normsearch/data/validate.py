"""Inspects a data set: reads all cases, and reports faults and statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from normsearch.data.cases import CaseFiles
from normsearch.data.checks import mixed_orientation
from normsearch.data.faults import Fault
from normsearch.data.layouts import DataSet, survey
from normsearch.data.measures import box_of
from normsearch.data.prepare import regions_fault
from normsearch.data.reading import RawCase, read_case
from normsearch.data.segment_names import (
    clash_fault,
    class_names,
    colour_faults,
    named_segments,
    nameless_fault,
    unnamed_fault,
)

_TRIVIAL = 0.5  # Dice of predicting foreground everywhere that causes a warning
_OTHER_UNITS = 10  # ratio of two cases' voxel sizes that causes a warning


@dataclass(frozen=True)
class Look:
    """Statistics of a readable case: mm, stored intensities, voxels by label value.

    `filled` is the share of its voxels in the smallest box around those that are not 0.
    """

    id: str
    shape: tuple[int, ...]
    channels: int
    spacing: tuple[float, ...]
    intensity: tuple[float, float]
    voxels: dict[int, int]
    filled: float = 1.0

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml; nan if the spacing is unknown."""
        return math.prod(self.spacing) / 1000


@dataclass(frozen=True)
class Report:
    """A data set with its readable cases, faults, and names of label values."""

    data_set: DataSet
    looks: list[Look]
    faults: list[Fault]
    names: dict[int, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Fault]:
        """The faults that stop a study."""
        return [fault for fault in self.faults if fault.severity == "error"]

    @property
    def warnings(self) -> list[Fault]:
        """The faults that do not stop a study."""
        return [fault for fault in self.faults if fault.severity == "warning"]

    @property
    def subjects_shown(self) -> int:
        """The number of subjects with a class, other than the background of masks."""
        masked = self.data_set.kind == "segmentation"
        background = {0, *self.data_set.ignored} if masked else set()
        shown = {
            look.id
            for look in self.looks
            if any(look.voxels[value] for value in look.voxels.keys() - background)
        }
        return len({case.subject for case in self.data_set.cases if case.id in shown})

    def summary(self) -> dict[str, Any]:
        """Return statistics of the data set as plain lists, dicts, numbers and texts."""
        cases = self.data_set.cases
        return {
            "data": str(self.data_set.root),
            "layout": self.data_set.layout,
            "kind": self.data_set.kind,
            "cases": len(cases),
            "readable": len(self.looks),
            "subjects": len({case.subject for case in cases}),
            "folds": dict(sorted(Counter(case.fold for case in cases if case.fold).items())),
            "channels": sorted({look.channels for look in self.looks}),
            "shapes": _spread(look.shape for look in self.looks),
            "spacings": _spread(look.spacing for look in self.looks),
            "intensities": _spread((look.intensity for look in self.looks), pairs=True),
            "classes": {str(value): self._class(value) for value in self._values()},
            "foreground": self._foreground() if self.data_set.kind == "segmentation" else None,
            "ignored": self._ignored(),
            "regions": {name: list(values) for name, values in self.data_set.regions.items()},
            "unused": list(self.data_set.unused),
        }

    def to_json(self) -> dict[str, Any]:
        """Return statistics and faults as plain lists, dicts, numbers and texts."""
        faults = {"errors": self.errors, "warnings": self.warnings}
        return self.summary() | {name: [asdict(f) for f in each] for name, each in faults.items()}

    def _values(self) -> list[int]:
        found = {value for look in self.looks for value in look.voxels}
        first = 0 if self.data_set.kind == "classification" else 1
        known = (found | set(self.data_set.labels)) - set(self.data_set.ignored)
        return sorted(value for value in known if value >= first)

    def _class(self, value: int) -> dict[str, Any]:
        having = [look for look in self.looks if look.voxels.get(value)]
        volumes = [look.voxels[value] * look.voxel_ml for look in having]
        known = [volume for volume in volumes if math.isfinite(volume)]
        return {
            "name": self.names.get(value, ""),
            "cases": len(having),
            "voxels": sum(look.voxels[value] for look in having),
            "share": self._share(sum(look.voxels[value] for look in having)),
            "mean_ml": math.fsum(known) / len(known) if known else None,
        }

    def _share(self, voxels: int) -> float:
        """Return the share of all voxels, including ignored ones."""
        return voxels / max(sum(sum(look.voxels.values()) for look in self.looks), 1)

    def _foreground(self) -> dict[str, float | None]:
        """Return the default share of foreground, and the mean Dice over cases of predicting
        foreground everywhere."""
        ignored = self.data_set.ignored
        counts = [
            (sum(n for value, n in look.voxels.items() if value and value not in ignored),
             sum(n for value, n in look.voxels.items() if value not in ignored))
            for look in self.looks
        ]  # fmt: skip
        scores = [2 * there / (there + called) for there, called in counts if called]
        return {
            "share": self._share(sum(there for there, _ in counts)),
            "dice_everywhere": math.fsum(scores) / len(scores) if scores else None,
        }

    def _ignored(self) -> dict[str, Any] | None:
        values = self.data_set.ignored
        voxels = [sum(look.voxels.get(value, 0) for value in values) for look in self.looks]
        return (
            {
                "values": list(values),
                "cases": sum(n > 0 for n in voxels),
                "voxels": sum(voxels),
                "share": self._share(sum(voxels)),
            }
            if values
            else None
        )


def inspect(root: Path, layout: str = "auto") -> Report:
    """Read every case of a data set and return its statistics and faults.

    Args:
        root: its folder, or a manifest.
        layout: a name in `LAYOUTS`, ``auto``, or ``module:name``.

    Raises:
        DataError: the files cannot be assigned to cases.
    """
    data_set = survey(root, layout)
    faults, looks = list(data_set.faults), []
    oriented: dict[Path, bool] = {}
    for files in data_set.cases:
        raw, found = read_case(
            files, root=data_set.root, labels=data_set.values, channels=data_set.channels
        )
        faults += found
        if raw is not None:
            looks.append(_look(files, raw))
            oriented[files.images[0]] = raw.oriented
    faults += mixed_orientation(data_set.root, oriented)
    named = named_segments(data_set.cases)
    faults += clash_fault(data_set.root, named) + unnamed_fault(data_set.cases, named)
    faults += nameless_fault(data_set.cases, named, {look.id: look.voxels for look in looks})
    faults += colour_faults(data_set.root, data_set.cases)
    if data_set.regions:
        faults.append(replace(regions_fault(data_set), severity="warning"))
    names = data_set.labels or class_names(named)
    report = Report(data_set, looks, _once(faults) + _unlike(data_set, looks), names)
    return replace(report, faults=report.faults + _trivial(report) + _other_units(report))


def _once(faults: list[Fault]) -> list[Fault]:
    """Merge the warnings of rules that usually concern the whole data set to one each."""
    first = {}
    for rule in ("no spacing", "plane", "smeared", "forms", "outside"):
        found = [fault for fault in faults if fault.rule == rule]
        if found:
            more = f" (and {len(found) - 1} more cases)" if len(found) > 1 else ""
            first[rule] = replace(found[0], found=found[0].found + more)
    return [fault for fault in faults if fault.rule not in first] + list(first.values())


def _trivial(report: Report) -> list[Fault]:
    """Return a warning if predicting foreground everywhere scores well."""
    facts = report.summary()["foreground"]
    score = facts["dice_everywhere"] if facts else None
    if score is None or score <= _TRIVIAL:
        return []
    return [
        Fault(
            "trivial",
            "",
            str(report.data_set.root),
            "have less foreground than background, for a score to be meaningful",
            f"a mean Dice of {score:.2f} for predicting foreground everywhere",
            "check whether the masks are inverted and "
            "which values are the object (task.foreground names them, 0 too)",
            "warning",
        )
    ]


def _other_units(report: Report) -> list[Fault]:
    """Return a warning if one case's voxels are ten times as large as another's."""
    largest = {
        look.id: max(step for step in look.spacing[1:])
        for look in report.looks
        if not any(map(math.isnan, look.spacing[1:]))
    }
    if not largest or max(largest.values()) <= _OTHER_UNITS * min(largest.values()):
        return []
    least, most = min(largest, key=largest.__getitem__), max(largest, key=largest.__getitem__)
    expected = "have voxels of similar size in all cases"
    found = f"{largest[least]:.3g} mm in {least} and {largest[most]:.3g} mm in {most}"
    cure = "check the units in the files' headers"
    return [Fault("units", "", str(report.data_set.root), expected, found, cure, "warning")]


def _look(files: CaseFiles, raw: RawCase) -> Look:
    shape = raw.image.shape[1:]
    counts = np.bincount(raw.label.astype(np.uint8, copy=False).ravel(), minlength=1)
    return Look(
        files.id,
        shape,
        len(raw.image),
        raw.spacing,
        (float(raw.image.min()), float(raw.image.max())),
        {int(value): int(counts[value]) for value in np.flatnonzero(counts)},
        math.prod(box_of(raw.image)) / math.prod(shape),
    )


def _unlike(data_set: DataSet, looks: list[Look]) -> list[Fault]:
    """Return a fault for each case whose number of channels differs from most cases."""
    usual = Counter(look.channels for look in looks).most_common(1)
    files = {case.id: case for case in data_set.cases}
    if data_set.channels is not None:  # compared with the layout when the case was read
        return []
    return [
        Fault(
            "channels",
            look.id,
            str(files[look.id].images[0]),
            f"have {usual[0][0]} channels, as the other cases",
            str(look.channels),
            "export it with all channels, or remove the case",
        )
        for look in looks
        if look.channels != usual[0][0]
    ]


def _spread(values: Iterable[tuple[float, ...]], *, pairs: bool = False) -> dict[str, Any] | None:
    """Return minimum, median and maximum of each column; None without values.

    Unknown spacings (nan) are left out; a column without known ones gives None. `pairs` are
    (lowest, highest): returns the minimum of the lowest and the maximum of the highest.
    """
    table = np.array(list(values), np.float64)
    if not len(table):
        return None
    none = np.isnan(table).all(0)
    table = np.where(none, 0, table)  # NumPy warns of columns without values
    low, middle, high = (
        np.where(none, np.nan, of(table, axis=0)) for of in (np.nanmin, np.nanmedian, np.nanmax)
    )
    if pairs:
        return {"lowest": float(low[0]), "highest": float(high[1]), "median": _plain(middle)}
    return {"least": _plain(low), "median": _plain(middle), "greatest": _plain(high)}


def _plain(row: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in row]
