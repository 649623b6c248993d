"""Data sets in memory: pairs of image and label, or cases, instead of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import Case, CaseFiles
from normsearch.data.checks import channels_of, check_label, check_pair, spacing_of
from normsearch.data.faults import Fault, refuse
from normsearch.data.orientation import canonical, is_oriented
from normsearch.data.pairing import case_id
from normsearch.data.preparation import Preparation
from normsearch.data.prepare import as_case, check_grid, prepared_from, read_raw
from normsearch.data.reading import RawCase
from normsearch.data.volume import Volume
from normsearch.errors import DataError

_KEYS = ("id", "subject", "fold", "spacing")


def cases_of(items: Sequence[Any], preparation: Preparation) -> list[Case]:
    """Return a data set in memory as prepared cases, in the order given.

    Args:
        items: each a pair (image, label); a mapping or object with image, label and, if known, id,
            subject, fold and spacing (mm along z, y, x); or a `Case`, which is used unchanged. An
            image is a file, a list of files (one per channel), a `Volume`, or an array (y, x),
            (z, y, x) or (channels, z, y, x); its label is the same without channels.
        preparation: how to prepare the cases.

    Raises:
        DataError: an item is none of these, or cannot be used; the message names it.
    """
    if not len(items):
        raise DataError("data: must hold at least one case, got none")
    cases: list[Case] = []
    for place, item in enumerate(items):
        known = isinstance(item, Case) and preparation.spacing is None
        cases.append(item if known else _case(place, _stored(place, item), preparation))
    doubles = sorted(name for name, count in Counter(c.id for c in cases).items() if count > 1)
    if doubles:
        raise DataError(f"data: each case must have a unique id, got {doubles[0]} twice")
    return cases


def places_of(items: Sequence[Any]) -> list[CaseFiles]:
    """Return the id, subject and fold of each item of a data set in memory; see `cases_of`.

    Raises:
        DataError: an item is no case, or is prepared already.
    """
    return [_place(place, _stored(place, item)) for place, item in enumerate(items)]


def raw_item(place: int, item: Any, preparation: Preparation) -> RawCase:
    """Return an item of a data set in memory as stored; `place` is its number.

    Raises:
        DataError: it cannot be used, or is prepared already.
    """
    parts = _stored(place, item)
    return _read(_place(place, parts), place, parts, preparation)[0]


def _stored(place: int, item: Any) -> dict[str, Any]:
    if isinstance(item, Case):
        raise DataError(
            f"data[{place}]: must be stored values for task.spacing and intensity ct, which are "
            f"measured and applied to these, got the prepared case {item.id}; leave the keys out"
        )
    return _parts(place, item)


def _parts(place: int, item: Any) -> dict[str, Any]:
    if isinstance(item, dict):
        parts = dict(item)
    elif isinstance(item, list | tuple) and len(item) == 2:
        parts = {"image": item[0], "label": item[1]}
    else:
        names = ("image", "label", *_KEYS)
        parts = {name: getattr(item, name) for name in names if hasattr(item, name)}
    if not {"image", "label"} <= parts.keys():
        raise DataError(
            f"data[{place}]: must be a pair (image, label), or hold image and label, got "
            f"{type(item).__name__}"
        )
    return parts


def _case(place: int, parts: dict[str, Any], preparation: Preparation) -> Case:
    where = _place(place, parts)
    raw, noted = _read(where, place, parts, preparation)
    path = where.images[0] if where.images else where.label / "image"
    refuse(where.label, check_grid(where.id, path, raw, preparation))
    return as_case(where, prepared_from(raw, preparation, noted))


def _place(place: int, parts: dict[str, Any]) -> CaseFiles:
    image, label = parts["image"], parts["label"]
    files = isinstance(label, str | Path)
    if files != isinstance(image, str | Path | list):
        raise DataError(
            f"data[{place}]: image and label must both be files, or both be in memory, got "
            f"{type(image).__name__} and {type(label).__name__}"
        )
    several = image if isinstance(image, list) else [image]
    images = tuple(map(Path, several)) if files else ()
    named = parts.get("id") or (case_id(images[0]) if files else f"case-{place:04d}")
    return CaseFiles(
        id=str(named),
        subject=str(parts.get("subject") or named),
        fold=str(parts.get("fold") or ""),
        images=images,
        label=Path(label) if files else Path(named),
    )


def _read(
    where: CaseFiles, place: int, parts: dict[str, Any], preparation: Preparation
) -> tuple[RawCase, tuple[Fault, ...]]:
    if where.images:
        return read_raw(where, preparation)
    raw, faults = _raw(where, place, parts, preparation)
    refuse(where.label, faults)
    return raw, ()


def _raw(
    where: CaseFiles, place: int, parts: dict[str, Any], preparation: Preparation
) -> tuple[RawCase, list[Fault]]:
    label, image = _volume(parts, place, "label"), _volume(parts, place, "image")
    label, image = canonical(label, preparation.plane), canonical(image, preparation.plane)
    mask, shown = channels_of(label), channels_of(image)
    values, faults = check_label(where.id, where.label / "label", mask, ())
    grids = (where.label / "image", image), (where.label / "label", label)
    faults += check_pair(where.id, *grids)
    raw = RawCase(shown, mask[0], spacing_of(image), values, is_oriented(image))
    return raw, faults


def _volume(parts: dict[str, Any], place: int, name: str) -> Volume:
    given = parts[name]
    if isinstance(given, Volume):
        return given
    array = _array(given, place, name)
    spacing = tuple(map(float, parts.get("spacing") or (np.nan,) * 3))
    if array.ndim == 4:
        return Volume(array, (np.nan, *spacing), kinds=("vector", *("domain",) * 3))
    return Volume(array, spacing)


def _array(given: Any, place: int, name: str) -> npt.NDArray[Any]:
    array = np.asarray(given)
    most = 4 if name == "image" else 3
    if array.dtype.kind not in "biuf" or not 2 <= array.ndim <= most:
        axes = "(y, x), (z, y, x)" + (" or (channels, z, y, x)" if most == 4 else "")
        raise DataError(
            f"data[{place}].{name}: must be a file, a volume or an array of numbers {axes}, got "
            f"{array.dtype} {array.shape}"
        )
    return array[None] if array.ndim == 2 else array
