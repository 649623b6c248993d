"""Measures of cases as stored, from which settings of their preparation are derived."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.in_memory import places_of, raw_item
from normsearch.data.layouts import survey
from normsearch.data.preparation import Preparation
from normsearch.data.prepare import CaseError, allowed_values, load_cases, read_raw, with_ignored
from normsearch.data.reading import RawCase
from normsearch.data.spacing import Spacing
from normsearch.data.transforms import Foreground
from normsearch.labels import IGNORED

DRAWN = 10_000
"""Voxels of the foreground that are drawn from each case, so that each counts alike."""
_SEED = 0


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of one case.

    Attributes:
        spacing: mm along slices, rows and columns; nan if unknown.
        shape: (slices, y, x) of the smallest box around the voxels that are not 0 in all channels.
        foreground: (channels, `DRAWN`), stored values of voxels drawn from the foreground; without
            any voxel if the case has none.
    """

    spacing: Spacing
    shape: tuple[int, ...]
    foreground: npt.NDArray[np.float64]


def measures_of(raw: RawCase, preparation: Preparation) -> Measures:
    """Return the measures of a case; the preparation says what is foreground.

    Voxels are drawn with replacement, as nnU-Net does, by a fixed seed.
    """
    index = preparation.indices(raw.label).ravel()
    inside = np.flatnonzero((index > 0) & (index != IGNORED))
    if inside.size:
        inside = np.random.default_rng(_SEED).choice(inside, DRAWN)
    drawn = raw.image.reshape(len(raw.image), -1)[:, inside].astype(np.float64)
    return Measures(raw.spacing, box_of(raw.image), drawn)


def box_of(image: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return the sides of the smallest box around the voxels that are not 0 in all channels.

    Args:
        image: (channels, *spatial); if all its voxels are 0, the box is the image.
    """
    there = (image != 0).any(0)
    extents = []
    for axis in range(there.ndim):
        others = tuple(other for other in range(there.ndim) if other != axis)
        places = np.flatnonzero(there.any(others))
        extents.append(int(places[-1] - places[0]) + 1 if places.size else there.shape[axis])
    return tuple(extents)


def foreground_of(measures: Iterable[Measures]) -> tuple[Foreground, ...]:
    """Return 0.5th and 99.5th percentile, mean and deviation by channel; () without foreground."""
    drawn = [one.foreground for one in measures if one.foreground.size]
    return tuple(_statistics(channel) for channel in np.concatenate(drawn, 1)) if drawn else ()


def _statistics(values: npt.NDArray[np.float64]) -> Foreground:
    low, high = (float(end) for end in np.percentile(values, (0.5, 99.5)))
    return low, high, float(values.mean()), float(values.std())


def measure_files(
    root: Path, preparation: Preparation, chosen: Collection[str], *, layout: str = "auto"
) -> dict[str, Measures]:
    """Read cases of a data set and return their measures, by id.

    Args:
        root: its folder, or a manifest.
        preparation: what labels mean; it does not resample.
        chosen: ids of the cases to read.
        layout: see `load_cases`.

    Raises:
        DataError: one of these cases cannot be used; the message names the faults of all cases.
    """
    data_set = survey(root, layout)
    meant = with_ignored(data_set, preparation)
    labels, channels = allowed_values(data_set, meant), data_set.channels
    found = {}
    for files in data_set.cases:
        if files.id not in chosen:
            continue
        try:
            raw, _ = read_raw(files, meant, root=data_set.root, labels=labels, channels=channels)
        except CaseError:
            load_cases(root, preparation, layout=layout)  # raises, with the faults of all cases
            raise
        found[files.id] = measures_of(raw, meant)
    return found


def measure_items(
    items: Sequence[Any], preparation: Preparation, chosen: Collection[str]
) -> dict[str, Measures]:
    """Return the measures of cases in memory, by id; see `measure_files`.

    Raises:
        DataError: an item cannot be used, or is prepared already.
    """
    return {
        where.id: measures_of(raw_item(place, items[place], preparation), preparation)
        for place, where in enumerate(places_of(items))
        if where.id in chosen
    }
