"""A whole data set read and looked at: every fault, and what there is, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from normsearch.data.cases import CaseFiles
from normsearch.data.checks import mixed_orientation
from normsearch.data.faults import Fault
from normsearch.data.layouts import DataSet, survey
from normsearch.data.reading import RawCase, read_case


@dataclass(frozen=True)
class Look:
    """One readable case in numbers: mm, the file's own intensities, voxels by label value."""

    id: str
    shape: tuple[int, ...]
    channels: int
    spacing: tuple[float, ...]
    intensity: tuple[float, float]
    voxels: dict[int, int]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml; nan where a spacing is not known."""
        return math.prod(self.spacing) / 1000


@dataclass(frozen=True)
class Report:
    """A data set, its readable cases and its faults."""

    data_set: DataSet
    looks: list[Look]
    faults: list[Fault]

    @property
    def errors(self) -> list[Fault]:
        """What stops a study."""
        return [fault for fault in self.faults if fault.severity == "error"]

    @property
    def warnings(self) -> list[Fault]:
        """What a study can live with."""
        return [fault for fault in self.faults if fault.severity == "warning"]

    def summary(self) -> dict[str, Any]:
        """Return the data set in numbers, as plain lists, dicts, numbers and texts."""
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
        }

    def to_json(self) -> dict[str, Any]:
        """Return summary and faults as plain lists, dicts, numbers and texts."""
        faults = {"errors": self.errors, "warnings": self.warnings}
        return self.summary() | {name: [asdict(f) for f in each] for name, each in faults.items()}

    def _values(self) -> list[int]:
        found = {value for look in self.looks for value in look.voxels}
        first = 0 if self.data_set.kind == "classification" else 1
        return sorted(value for value in found | set(self.data_set.labels) if value >= first)

    def _class(self, value: int) -> dict[str, Any]:
        having = [look for look in self.looks if look.voxels.get(value)]
        volumes = [look.voxels[value] * look.voxel_ml for look in having]
        known = [volume for volume in volumes if math.isfinite(volume)]
        return {
            "name": self.data_set.labels.get(value, ""),
            "cases": len(having),
            "voxels": sum(look.voxels[value] for look in having),
            "mean_ml": math.fsum(known) / len(known) if known else None,
        }


def inspect(root: Path, layout: str = "auto") -> Report:
    """Read every case of a data set and return what it holds and everything that is wrong.

    Args:
        root: its folder, or a manifest.
        layout: a name in `LAYOUTS`, or ``auto``.

    Raises:
        DataError: what is there cannot be told apart into cases.
    """
    data_set = survey(root, layout)
    faults, looks = list(data_set.faults), []
    oriented: dict[Path, bool] = {}
    for files in data_set.cases:
        raw, found = read_case(files, root=data_set.root, labels=sorted(data_set.labels))
        faults += found
        if raw is not None:
            looks.append(_look(files, raw))
            oriented[files.images[0]] = raw.oriented
    faults += mixed_orientation(data_set.root, oriented)
    return Report(data_set, looks, _once(faults) + _unlike(data_set, looks))


def _once(faults: list[Fault]) -> list[Fault]:
    """Return faults with one warning of each kind that is rather the data set's than a case's."""
    first = {}
    for rule in ("no spacing", "plane"):
        found = [fault for fault in faults if fault.rule == rule]
        if found:
            more = f" (and {len(found) - 1} more cases)" if len(found) > 1 else ""
            first[rule] = replace(found[0], found=found[0].found + more)
    return [fault for fault in faults if fault.rule not in first] + list(first.values())


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
    )


def _unlike(data_set: DataSet, looks: list[Look]) -> list[Fault]:
    """Return a fault for each case that has not as many channels as most cases have."""
    usual = Counter(look.channels for look in looks).most_common(1)
    files = {case.id: case for case in data_set.cases}
    return [
        Fault(
            "channels",
            look.id,
            str(files[look.id].images[0]),
            f"have {usual[0][0]} channels as the other cases",
            str(look.channels),
            "export it with all channels, or remove the case",
        )
        for look in looks
        if look.channels != usual[0][0]
    ]


def _spread(values: Iterable[tuple[float, ...]], *, pairs: bool = False) -> dict[str, Any] | None:
    """Return the least, the middle and the greatest of each place; None of nothing.

    A spacing that is not known (nan) is left out, and None where none is known. `pairs` are
    (lowest, highest): of the lowest the least, of the highest the greatest.
    """
    table = np.array(list(values), np.float64)
    if not len(table):
        return None
    none = np.isnan(table).all(0)
    table = np.where(none, 0, table)  # NumPy warns of places where nothing is known
    low, middle, high = (
        np.where(none, np.nan, of(table, axis=0)) for of in (np.nanmin, np.nanmedian, np.nanmax)
    )
    if pairs:
        return {"lowest": float(low[0]), "highest": float(high[1]), "median": _plain(middle)}
    return {"least": _plain(low), "median": _plain(middle), "greatest": _plain(high)}


def _plain(row: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in row]
