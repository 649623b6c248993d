"""What must hold of an image and its label: each check returns the faults it finds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.volume import Volume

Array = npt.NDArray[Any]
Grid = tuple[Path, Volume]

SPACING_MM = 1e-3  # by how much the spacings of an image and its label may differ
ORIGIN_MM = 1e-2  # and their origins
DIRECTION = 1e-3  # and the cosines of their directions


def check_image(case: str, path: Path, volume: Volume, channels: Array) -> Iterator[Fault]:
    """Yield what is wrong with an image; `channels` is its array as (channels, z, y, x)."""
    if channels.ndim != 4 or not np.isfinite(spacing_of(volume)[1:]).all():
        found = f"shape {volume.array.shape} and spacing {volume.spacing}"
        expected = "have three axes (slice, y, x), the last two in space"
        cure = "export it as one volume, its channels as one file each"
        yield Fault("axes", case, str(path), expected, found, cure)
    if channels.dtype.kind == "f" and not np.isfinite(channels).all():
        count = int((~np.isfinite(channels)).sum())
        found = f"{count} voxels that are NaN or infinite"
        cure = "replace them, for example by the background's value"
        yield Fault("finite", case, str(path), "have finite voxels alone", found, cure)


def check_label(
    case: str, path: Path, mask: Array, labels: Collection[int]
) -> tuple[tuple[int, ...], list[Fault]]:
    """Return the values that occur in a label, and its faults.

    Args:
        case: the case's id.
        path: the label's file.
        mask: its array, (channels, z, y, x).
        labels: the values it may have beside 0; any from 0 to 255 if empty.
    """
    if mask.ndim != 4 or len(mask) != 1:
        found = f"shape {mask.shape} (channel, z, y, x)"
        expected = "have one channel of three axes (slice, y, x)"
        return (), [Fault("axes", case, str(path), expected, found, "export it as one mask")]
    values = occurring(mask)
    odd = values[~((values >= 0) & (values <= 255) & (values == np.floor(values)))]
    if odd.size:
        expected, cure = "hold whole numbers from 0 to 255", "export it without resampling"
        return (), [Fault("values", case, str(path), expected, _some(odd), cure)]
    unknown = values[~np.isin(values, [0, *labels])] if labels else values[:0]
    faults = []
    if unknown.size:
        expected = f"hold the label values {', '.join(map(str, sorted({0, *labels})))} alone"
        cure = "correct the mask, or name the value in dataset.json"
        faults.append(Fault("values", case, str(path), expected, _some(unknown), cure))
    return tuple(int(value) for value in values), faults


def check_channels(files: CaseFiles, found: int, expected: int) -> list[Fault]:
    """Return a fault where an image has not as many channels as its data set's description says."""
    if found == expected:
        return []
    must = f"have {expected} channel{'s' if expected > 1 else ''}, as dataset.json says"
    cure = "save it with these channels alone (a picture without transparency), or correct the list"
    return [Fault("channels", files.id, str(files.images[0]), must, str(found), cure)]


def check_pair(case: str, first: Grid, other: Grid) -> list[Fault]:
    """Return how `other` (a label, or another channel) does not lie on the grid of `first`."""
    (image_path, image), (path, volume) = first, other
    mine, theirs = channels_of(image).shape[1:], channels_of(volume).shape[1:]
    compared: list[tuple[str, Any, Any, float]] = [
        ("spacing", spacing_of(image), spacing_of(volume), SPACING_MM),
        ("origin", image.origin, volume.origin, ORIGIN_MM),
        ("direction", _cosines(image), _cosines(volume), DIRECTION),
    ]
    differing = [(name, one, two) for name, one, two, by in compared if _differ(one, two, by)]
    if mine != theirs:
        differing = [("shape", mine, theirs)]
    cure = "export it on the image's grid"
    return [
        Fault(
            name,
            case,
            str(path),
            f"have the {name} of {image_path.name}, {_short(one)}",
            _short(two),
            cure,
            "warning" if name in ("origin", "direction") else "error",
        )
        for name, one, two in differing
    ]


def _differ(one: Any, two: Any, by: float) -> bool:
    if one is None or two is None or np.shape(one) != np.shape(two):
        return False  # what a file does not say cannot differ
    return not np.allclose(one, two, rtol=0, atol=by, equal_nan=True)


def _short(numbers: Any) -> str:
    return str(np.round(numbers, 4).tolist())


def channels_of(volume: Volume) -> Array:
    """Return a volume's array as (channels, z, y, x), whatever of these axes it has."""
    array = volume.array if _has_channels(volume) else volume.array[None]
    return array[:, None] if array.ndim == 3 else array


def spacing_of(volume: Volume) -> tuple[float, float, float]:
    """Return a volume's mm along z, y and x, nan where there is no such axis."""
    steps = volume.spacing[1:] if _has_channels(volume) else volume.spacing
    z, y, x = ((math.nan,) * 3 + steps)[-3:]
    return z, y, x


def _has_channels(volume: Volume) -> bool:
    return volume.kinds[:1] == ("vector",)


def no_spacing(case: str, path: Path) -> Fault:
    """Return the warning of a file that gives no spacing."""
    cure = "1 mm is assumed; give it one when volumes in ml or distances in mm matter"
    return Fault("no spacing", case, str(path), "give its spacing", "none", cure, "warning")


def occurring(mask: Array) -> Array:
    """Return the values that occur, ascending; fast for bytes, NaN told once."""
    if mask.dtype == np.uint8:
        return np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return np.unique(mask)


def _cosines(volume: Volume) -> Array | None:
    if volume.directions is None:
        return None
    rows = volume.directions[1:] if _has_channels(volume) else volume.directions
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _some(values: Array) -> str:
    told = ", ".join(f"{value:g}" for value in values[:5])
    return told if len(values) <= 5 else f"{told} and {len(values) - 5} more"
