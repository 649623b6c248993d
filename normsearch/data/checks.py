"""Checks of images and labels; each returns the faults that it finds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.orientation import PLANES, Plane, is_oriented
from normsearch.data.resampling import resampling_to
from normsearch.data.spacing import Spacing, spacing_text, unknown_axes
from normsearch.data.volume import Volume
from normsearch.limits import VOXELS

Array = npt.NDArray[Any]
Grid = tuple[Path, Volume]

SPACING_MM = 1e-3  # tolerance between the spacings of an image and its label
ORIGIN_MM = 1e-2  # between their origins
DIRECTION = 1e-3  # between the cosines of their directions
COARSE = 2.0  # the largest accepted ratio of the spacing in plane to that between slices


def check_image(case: str, path: Path, volume: Volume, channels: Array) -> Iterator[Fault]:
    """Yield the faults of an image; `channels` is its array as (channels, z, y, x)."""
    if channels.ndim != 4 or not all(volume.in_space[-2:]):
        found = f"shape {volume.array.shape} and kinds {volume.kinds or None}"
        expected = "have three axes (slice, y, x), the last two in space"
        cure = "export it as one volume, its channels as one file each"
        yield Fault("axes", case, str(path), expected, found, cure)
    yield from check_finite(case, path, channels)


def check_finite(case: str, path: Path, channels: Array) -> Iterator[Fault]:
    """Yield a fault if voxels of an image are NaN or infinite."""
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
        labels: the allowed values other than 0; any from 0 to 255 if empty.
    """
    if mask.ndim != 4 or len(mask) != 1:
        found = f"shape {mask.shape} (channel, z, y, x)"
        expected = "have one channel of three axes (slice, y, x)"
        return (), [Fault("axes", case, str(path), expected, found, "export it as one mask")]
    values = occurring(mask)
    odd = values[~((values >= 0) & (values <= 255) & (values == np.floor(values)))]
    if odd.size:
        whole = bool((odd == np.floor(odd)).all())
        expected = "hold whole numbers from 0 to 255"
        cure = "renumber its labels" if whole else "export it without resampling"
        return (), [Fault("values", case, str(path), expected, _some(odd), cure)]
    unknown = values[~np.isin(values, [0, *labels])] if labels else values[:0]
    faults = []
    if unknown.size:
        expected = f"hold the label values {', '.join(map(str, sorted({0, *labels})))} alone"
        cure = "correct the mask, or name the value in dataset.json"
        faults.append(Fault("values", case, str(path), expected, _some(unknown), cure))
    return tuple(int(value) for value in values), faults


def check_forms(case: str, path: Path, unlike: tuple[str, str] | None) -> list[Fault]:
    """Return a warning if sform and qform of a NIfTI file give different orientations."""
    if unlike is None:
        return []
    expected = "have an sform and a qform of one orientation"
    found = f"axes towards {unlike[0]} and {unlike[1]}"
    cure = "the sform is used; check where left is, and set the qform to it"
    return [Fault("forms", case, str(path), expected, found, cure, "warning")]


def check_channels(files: CaseFiles, found: int, expected: int) -> list[Fault]:
    """Return a fault if the number of channels is not that of the data set's description."""
    if found == expected:
        return []
    must = f"have {expected} channel{'s' if expected > 1 else ''}, as dataset.json says"
    cure = "save it with only these channels (a picture without transparency), or correct the list"
    return [Fault("channels", files.id, str(files.images[0]), must, str(found), cure)]


def check_pair(case: str, first: Grid, other: Grid, *, turned: bool = False) -> list[Fault]:
    """Return how the grid of `other` (a label, or another channel) differs from that of `first`.

    A different origin or direction is a warning, as headers are often inaccurate. It is an error if
    the two files were also reoriented differently on reading (`turned`): then one of the headers is
    wrong, and the voxels do not correspond.
    """
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
            "warning" if name in ("origin", "direction") and not turned else "error",
        )
        for name, one, two in differing
    ]


def _differ(one: Any, two: Any, by: float) -> bool:
    if one is None or two is None or np.shape(one) != np.shape(two):
        return False  # a missing value does not differ
    apart = np.abs(np.subtract(one, two))
    return bool((apart > by).any())  # nor does nan


def _short(numbers: Any) -> str:
    return str(np.round(numbers, 4).tolist())


def channels_of(volume: Volume) -> Array:
    """Return a volume's array as (channels, z, y, x), adding missing axes."""
    array = volume.array if _has_channels(volume) else volume.array[None]
    return array[:, None] if array.ndim == 3 else array


def spacing_of(volume: Volume) -> tuple[float, float, float]:
    """Return a volume's spacing in mm along z, y and x, nan for a missing axis."""
    steps = volume.spacing[1:] if _has_channels(volume) else volume.spacing
    z, y, x = ((math.nan,) * 3 + steps)[-3:]
    return z, y, x


def _has_channels(volume: Volume) -> bool:
    return volume.kinds[:1] == ("vector",)


def no_spacing(case: str, path: Path) -> Fault:
    """Return the warning for a file without a spacing."""
    cure = "distances are in pixels; add it if volumes in ml or distances in mm matter"
    return Fault("no spacing", case, str(path), "give its spacing", "none", cure, "warning")


def coarse_in_plane(case: str, path: Path, volume: Volume, plane: Plane) -> Iterator[Fault]:
    """Yield a warning if the slices of an image are not in its finest plane.

    The volume is in canonical orientation.
    """
    steps = spacing_of(volume)
    if not is_oriented(volume) or channels_of(volume).shape[1] == 1:
        return
    coarsest = max((1, 2), key=lambda axis: -math.inf if math.isnan(steps[axis]) else steps[axis])
    if steps[coarsest] > COARSE * steps[0]:
        across = PLANES[plane][coarsest]
        better = next(name for name, axes in PLANES.items() if axes[0] == across)
        yield Fault(
            "plane",
            case,
            str(path),
            f"have {plane} slices with voxels at most {COARSE:g} times as far apart in plane as "
            "between them",
            f"{_short(steps)} mm (slices, rows, columns)",
            f"set task.plane: {better} where samples are slices",
            "warning",
        )


def mixed_orientation(root: Path, images: Mapping[Path, bool]) -> list[Fault]:
    """Return an error if some images of a data set are oriented and others are not.

    Args:
        root: the data set's folder.
        images: for an image of each case, whether it is oriented.
    """
    known = [path for path, given in images.items() if given]
    unknown = [path for path, given in images.items() if not given]
    if not known or not unknown:
        return []
    found = f"{len(known)} with ({known[0].name}) and {len(unknown)} without ({unknown[0].name})"
    expected = "hold images that all give an orientation, or none that gives one"
    cure = "export the others again with their space directions (NRRD) or sform (NIfTI)"
    return [Fault("orientation", "", str(root), expected, found, cure)]


def occurring(mask: Array) -> Array:
    """Return the values that occur, in ascending order, NaN once; fast for bytes."""
    if mask.dtype == np.uint8:
        return np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return np.unique(mask)


def _cosines(volume: Volume) -> Array | None:
    if volume.directions is None:
        return None
    rows = volume.directions[1:] if _has_channels(volume) else volume.directions
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _some(values: Array) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"


def check_resampling(
    case: str, path: Path, shape: tuple[int, ...], spacing: Spacing, target: tuple[float, ...]
) -> list[Fault]:
    """Return why an image cannot be resampled to a target spacing.

    Args:
        case: the case's id.
        path: the file of its image.
        shape: (slices, y, x).
        spacing: mm along slices, rows and columns; nan if unknown.
        target: mm along them, or along rows and columns.
    """
    to = f"task.spacing resamples it to {spacing_text(target)}"
    if unknown := unknown_axes(spacing, target):
        expected, found = f"give its spacing, as {to}", f"none along {' and '.join(unknown)}"
        cure = "add it to the file, or leave task.spacing out"
        return [Fault("spacing", case, str(path), expected, found, cure)]
    sides = resampling_to(shape, spacing, target).new_shape
    if math.prod(sides) <= VOXELS:
        return []
    expected = f"have at most {VOXELS} voxels where {to}"
    found = f"{' x '.join(map(str, sides))} from a spacing of {spacing_text(spacing)}"
    cure = "give a coarser spacing, or correct that of the file"
    return [Fault("spacing", case, str(path), expected, found, cure)]
