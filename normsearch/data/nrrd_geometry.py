"""The geometry in an NRRD header, fastest axis first, to a Volume's, slowest first, and back."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.bounded import one_line
from normsearch.data.geometry import RAS, SpacingWarning, Volume
from normsearch.errors import DataError

Header = dict[str, Any]
Array = npt.NDArray[Any]

# Signs that turn a space's x, y, z into left, posterior, superior; any other space stays as it is.
_TO_LPS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), RAS),
    **dict.fromkeys(("left-anterior-superior", "las"), np.array([1.0, -1.0, 1.0])),
}
_MM = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "µm": 0.001}
_IN_SPACE = ("domain", "space")
_UNKNOWN = ("???", "none")


def volume_of(path: Path, header: Header, array: Array) -> Volume:
    """Return the volume; an axis of channels comes first, of whatever kind it was.

    Raises:
        DataError: the header's geometry does not fit the array.
    """
    try:
        kinds = tuple(header.get("kinds", ()))[::-1]
        directions, origin = _directions(header), _origin(header)
        spacing = _spacing(path, header, directions, kinds, array.ndim)
        return _channels_first(Volume(array, spacing, origin, directions, kinds))
    except (DataError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: the header's geometry must fit its {array.ndim} axes in a space of three, "
            f"got '{one_line(error)}'; export the image again"
        ) from error


def header_of(volume: Volume) -> tuple[Array, Header]:
    """Return the array to write in C order, channels last as is the custom, and its header."""
    order = list(range(volume.array.ndim))
    if volume.kinds[:1] == ("vector",):
        order = [*order[1:], 0]
    header: Header = {}
    if volume.kinds:
        header["kinds"] = [volume.kinds[axis] for axis in reversed(order)]
    if volume.directions is not None:
        header["space"] = "left-posterior-superior"
        header["space directions"] = volume.directions[order[::-1]]
        if volume.origin is not None:
            header["space origin"] = np.asarray(volume.origin)
    elif not all(math.isnan(step) for step in volume.spacing):
        header["spacings"] = np.asarray([volume.spacing[axis] for axis in reversed(order)])
    return np.ascontiguousarray(np.transpose(volume.array, order)), header


def _to_lps(header: Header, vectors: Any) -> npt.NDArray[np.float64]:
    """Return points or rows in LPS and mm; a space of two axes lies in the plane z = 0."""
    values = np.asarray(vectors, np.float64)
    if values.shape[-1] == 2:
        third = np.where(np.isnan(values[..., :1]), np.nan, 0.0)
        values = np.concatenate([values, third], axis=-1)
    signs = _TO_LPS.get(str(header.get("space", "")).lower(), np.ones(3))
    units = [_MM.get(unit, 1.0) for unit in header.get("space units", ())] or [1.0] * 3
    return np.asarray(values * signs * (units if len(units) != 2 else [*units, 1.0]))


def _directions(header: Header) -> npt.NDArray[np.float64] | None:
    rows = header.get("space directions")
    return None if rows is None else _to_lps(header, rows)[::-1]


def _origin(header: Header) -> tuple[float, ...] | None:
    place = header.get("space origin")
    return None if place is None else tuple(float(value) for value in _to_lps(header, place))


def _spacing(
    path: Path, header: Header, directions: Array | None, kinds: tuple[str, ...], axes: int
) -> tuple[float, ...]:
    if directions is not None:
        return tuple(float(step) for step in np.linalg.norm(directions, axis=1))
    if "spacings" in header:
        return tuple(float(step) for step in header["spacings"][::-1])
    warnings.warn(f"{path}: gives no spacing; 1 mm is assumed", SpacingWarning, stacklevel=5)
    steps = tuple(1.0 if kind in (*_IN_SPACE, *_UNKNOWN) else math.nan for kind in kinds)
    return steps or (1.0,) * axes


def _channels_first(volume: Volume) -> Volume:
    """Move the one axis that is not in space to the front, and call it "vector" if it is one.

    Three axes in space and one that is not are channels. With two in space, a list is a stack of
    slices; a colour or a vector is channels.
    """
    kinds = volume.kinds or ("???",) * volume.array.ndim
    beside = [
        axis
        for axis, (kind, step) in enumerate(zip(kinds, volume.spacing, strict=True))
        if math.isnan(step) or kind.lower() not in (*_IN_SPACE, *_UNKNOWN)
    ]
    if len(beside) != 1 or volume.array.ndim not in (3, 4):
        return volume
    (axis,) = beside
    order = [axis, *(other for other in range(volume.array.ndim) if other != axis)]
    stack = volume.array.ndim == 3 and kinds[axis].lower() in ("list", "time", *_UNKNOWN)
    kind = "vector" if not stack else "list" if kinds[axis] in _UNKNOWN else kinds[axis]
    return Volume(
        np.ascontiguousarray(np.transpose(volume.array, order)),
        (math.nan, *(volume.spacing[other] for other in order[1:])),
        volume.origin,
        None if volume.directions is None else volume.directions[order],
        (kind, *(volume.kinds[other] if volume.kinds else "domain" for other in order[1:])),
    )
