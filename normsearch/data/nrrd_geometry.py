"""Converts the geometry of an NRRD header (fastest axis first) to a Volume's, and back."""

from __future__ import annotations

import math
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.geometry import IN_SPACE, RAS, UNKNOWN, SourceHeader, SpacingWarning, Volume
from normsearch.errors import DataError, one_line

Header = dict[str, Any]
Array = npt.NDArray[Any]

_ANATOMICAL = {
    f"{name}{time}"
    for name in (
        *("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"),
        *("ras", "las", "lps"),
    )
    for time in ("", "-time", "t")
}
# Signs from a space's x, y, z to left, posterior, superior; other spaces are not converted.
_TO_LPS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), RAS),
    **dict.fromkeys(("left-anterior-superior", "las"), np.array([1.0, -1.0, 1.0])),
}

# Units of length in lower case and singular -> mm.
_MM = {
    name: size
    for size, names in {
        1000.0: "m meter metre",
        10.0: "cm centimeter centimetre",
        1.0: "mm millimeter millimetre",
        1e-3: "um µm \u03bcm micrometer micrometre micron",
        1e-6: "nm nanometer nanometre",
    }.items()
    for name in names.split()
}

# Fields of the geometry: those of the whole image, and those with an entry per axis.
_OF_IMAGE = (
    *("space", "space dimension", "space directions", "space origin", "space units"),
    "measurement frame",
)
_OF_AXES = {
    "axis mins": ("axis mins", "axismins"),
    "axis maxs": ("axis maxs", "axismaxs"),
    "spacings": ("spacings",),
    "thicknesses": ("thicknesses",),
    "units": ("units",),
    "labels": ("labels",),
    "centerings": ("centerings", "centers"),
    "kinds": ("kinds",),
}
_BY_AXIS = (*_OF_AXES, "space directions")


def volume_of(path: Path, header: Header, array: Array) -> Volume:
    """Return the volume, with an axis of channels first.

    Raises:
        DataError: the header's geometry does not fit the array.
    """
    try:
        kinds = tuple(header.get("kinds", ()))[::-1]
        directions, origin = _directions(header), _origin(header)
        spacing = _spacing(header, directions, array.ndim)
        anatomical = str(header.get("space", "")).lower() in _ANATOMICAL
        source = _source(header, array.ndim)
        volume = Volume(array, spacing, origin, directions, kinds, source, anatomical)
        volume = _channels_first(volume)
        if not volume.has_spacing:
            warnings.warn(f"{path}: gives no spacing", SpacingWarning, stacklevel=4)
        return volume
    except (DataError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: the header's geometry must fit its {array.ndim} axes in a space of three, "
            f"got '{one_line(error)}'; export the image again"
        ) from error


def header_of(volume: Volume) -> tuple[Array, Header]:
    """Return the array to write in C order, channels last as is usual, and its header."""
    order = list(range(volume.array.ndim))
    if volume.kinds[:1] == ("vector",):
        order = [*order[1:], 0]
    header = _as_read(volume, order) or _made(volume, order)
    return np.ascontiguousarray(np.transpose(volume.array, order)), header


def without_channels(volume: Volume) -> Volume:
    """Return the first channel of a volume whose first axis is that of channels."""
    header = volume.header
    if header is not None and header.format == "nrrd":
        own = {key: header.fields[key][1:] for key in _BY_AXIS if key in header.fields}
        header = SourceHeader("nrrd", {**header.fields, **own})
    return Volume(
        volume.array[0],
        volume.spacing[1:],
        volume.origin,
        None if volume.directions is None else volume.directions[1:],
        volume.kinds[1:],
        header,
        volume.anatomical,
    )


def _source(header: Header, axes: int) -> SourceHeader:
    """Return the fields of the geometry; those per axis with the slowest axis first."""
    fields: Header = {key: header[key] for key in _OF_IMAGE if key in header}
    if "space directions" in fields:
        fields["space directions"] = np.asarray(fields["space directions"], np.float64)[::-1]
    for key, names in _OF_AXES.items():
        for name in names:
            if name in header:
                own = header[name].split() if isinstance(header[name], str) else header[name]
                if len(own) == axes:
                    fields[key] = list(own)[::-1]
    return SourceHeader("nrrd", fields)


def _as_read(volume: Volume, order: list[int]) -> Header | None:
    """Return the header that an image was read with, or None if the geometry has changed."""
    if volume.header is None or volume.header.format != "nrrd":
        return None
    fields, axes = volume.header.fields, volume.array.ndim
    if any(len(fields[key]) != axes for key in _BY_AXIS if key in fields):
        return None
    turned = [volume.directions, volume.origin, volume.spacing]
    forward = {key: value[::-1] if key in _BY_AXIS else value for key, value in fields.items()}
    directions = _directions(forward)
    read = [directions, _origin(forward), _spacing(forward, directions, axes)]
    if not all(_same(one, other) for one, other in zip(turned, read, strict=True)):
        return None
    header = dict(fields)
    for key in _BY_AXIS:
        if key in header:
            header[key] = [fields[key][axis] for axis in reversed(order)]
    if "space directions" in header:
        header["space directions"] = np.asarray(header["space directions"])
    if "space" in header:
        header.pop("space dimension", None)  # implied by the space
    if volume.kinds:
        header["kinds"] = [volume.kinds[axis] for axis in reversed(order)]
    return header


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is None and other is None
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-6, equal_nan=True)


def _made(volume: Volume, order: list[int]) -> Header:
    """Return a header for a volume's geometry, without unknown spacings."""
    header: Header = {}
    unknown = [math.isnan(step) for step in volume.spacing]
    kinds = volume.kinds
    if not kinds and volume.directions is None and any(unknown):
        kinds = ("domain",) * len(unknown)  # without it, such an axis would be read as a list
    if kinds:
        header["kinds"] = [kinds[axis] for axis in reversed(order)]
    if volume.directions is not None:
        if volume.anatomical:
            header["space"] = "left-posterior-superior"
        else:
            header["space dimension"] = 3
        header["space directions"] = volume.directions[order[::-1]]
        if volume.origin is not None:
            header["space origin"] = np.asarray(volume.origin)
    elif not all(unknown):
        header["spacings"] = np.asarray([volume.spacing[axis] for axis in reversed(order)])
    return header


def _to_lps(header: Header, vectors: Any) -> npt.NDArray[np.float64]:
    """Return points or rows in LPS and mm; a space of two axes is the plane z = 0."""
    values = np.asarray(vectors, np.float64)
    if values.shape[-1] == 2:
        third = np.where(np.isnan(values[..., :1]), np.nan, 0.0)
        values = np.concatenate([values, third], axis=-1)
    signs = _TO_LPS.get(str(header.get("space", "")).lower(), np.ones(3))
    units = [_mm(unit) for unit in _words(header.get("space units", ()))] or [1.0] * 3
    return np.asarray(values * signs * (units if len(units) != 2 else [*units, 1.0]))


def _directions(header: Header) -> npt.NDArray[np.float64] | None:
    rows = header.get("space directions")
    return None if rows is None else _to_lps(header, rows)[::-1]


def _origin(header: Header) -> tuple[float, ...] | None:
    place = header.get("space origin")
    return None if place is None else tuple(float(value) for value in _to_lps(header, place))


def _spacing(header: Header, directions: Array | None, axes: int) -> tuple[float, ...]:
    if directions is not None:
        return tuple(float(step) for step in np.linalg.norm(directions, axis=1))
    if "spacings" in header:
        steps = [float(step) for step in header["spacings"]]
        units = _words(header.get("units", ()))
        if len(units) == len(steps):  # an axis without spacing has none
            known = [not math.isnan(step) for step in steps]
            sizes = [_mm(unit) if know else 1.0 for unit, know in zip(units, known, strict=True)]
            steps = [step * size for step, size in zip(steps, sizes, strict=True)]
        return tuple(steps[::-1])
    return (math.nan,) * axes


def _words(entries: Any) -> list[str]:
    """Return the entries of a field, which pynrrd returns as a list or as text."""
    return shlex.split(entries) if isinstance(entries, str) else list(entries)


def _mm(unit: str) -> float:
    """Return the length of a unit in mm; an empty unit is a millimetre."""
    name = unit.strip().strip('"').strip().lower()
    if not name:
        return 1.0
    size = _MM.get(name) or _MM.get(name.removesuffix("s"))
    if size is None:
        raise ValueError(f"the unit {unit.strip()!r}, not one of m, cm, mm, um, nm")
    return size


def _channels_first(volume: Volume) -> Volume:
    """Move the only axis that is not in space to the front, with kind "vector" for channels.

    With three axes in space the other one is channels. With two in space, a list is a stack of
    slices, and a colour or vector is channels.
    """
    kinds = volume.kinds or ("???",) * volume.array.ndim
    some_known = not all(math.isnan(step) for step in volume.spacing)
    beside = [
        axis
        for axis, (kind, step) in enumerate(zip(kinds, volume.spacing, strict=True))
        if (some_known and math.isnan(step) and (kind in UNKNOWN or volume.directions is not None))
        or kind.lower() not in (*IN_SPACE, *UNKNOWN)
    ]
    if len(beside) != 1 or volume.array.ndim not in (3, 4):
        return volume
    (axis,) = beside
    order = [axis, *(other for other in range(volume.array.ndim) if other != axis)]
    stack = volume.array.ndim == 3 and kinds[axis].lower() in ("list", "time", *UNKNOWN)
    kind = "vector" if not stack else "list" if kinds[axis] in UNKNOWN else kinds[axis]
    return Volume(
        np.ascontiguousarray(np.transpose(volume.array, order)),
        (math.nan, *(volume.spacing[other] for other in order[1:])),
        volume.origin,
        None if volume.directions is None else volume.directions[order],
        (kind, *(volume.kinds[other] if volume.kinds else "domain" for other in order[1:])),
        _reordered(volume.header, order),
        volume.anatomical,
    )


def _reordered(header: SourceHeader | None, order: list[int]) -> SourceHeader | None:
    if header is None:
        return None
    per_axis = {
        key: [header.fields[key][axis] for axis in order]
        for key in _BY_AXIS
        if key in header.fields
    }
    return SourceHeader(header.format, {**header.fields, **per_axis})
