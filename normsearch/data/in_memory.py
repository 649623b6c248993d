"""Data sets in memory: pairs of image and label, or cases, instead of a folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from normsearch.data.cases import Case, CaseFiles
from normsearch.data.checks import (
    channels_of,
    check_finite,
    check_image,
    check_label,
    check_pair,
    spacing_of,
)
from normsearch.data.faults import Fault, refuse
from normsearch.data.orientation import canonical, is_oriented
from normsearch.data.pairing import case_id
from normsearch.data.preparation import Preparation
from normsearch.data.prepare import as_case, check_grid, prepared_from, read_raw
from normsearch.data.reading import RawCase
from normsearch.data.spacing import Spacing
from normsearch.data.tables import meanings
from normsearch.data.volume import Volume
from normsearch.errors import DataError, NormsearchError, did_you_mean, one_line, short

_NAMES = ("image", "label", "id", "subject", "fold")
_KEYS = (*_NAMES, "spacing")
_UNKNOWN = (math.nan,) * 3


def cases_of(items: Sequence[Any], preparation: Preparation) -> list[Case]:
    """Return a data set in memory as prepared cases, in the order given.

    Args:
        items: each a pair (image, label); a mapping or object with image, label and, if known, id,
            subject, fold and spacing (mm along z, y, x), or the names that tables may have for
            them; or a `Case`, which is used unchanged. An image is a file, a list of files (one per
            channel), a `Volume`, or an array (y, x), (z, y, x) or (channels, z, y, x); its label is
            the same without channels. Ids, subjects and folds are texts or whole numbers.
        preparation: how to prepare the cases.

    Raises:
        DataError: an item is none of these, or cannot be used; the message names it.
    """
    if not len(items):
        raise DataError("data: must hold at least one case, got none")
    cases: list[Case] = []
    for place, item in enumerate(_read_each(items)):
        if isinstance(item, Case) and preparation.spacing is None:
            path = Path(item.id, "image")
            refuse(path, [*check_finite(item.id, path, item.image)])
            cases.append(item)
        else:
            cases.append(_case(place, _stored(place, item), preparation))
    doubles = sorted(name for name, count in Counter(c.id for c in cases).items() if count > 1)
    if doubles:
        raise DataError(f"data: each case must have a unique id, got {doubles[0]} twice")
    return cases


def places_of(items: Sequence[Any], *, prepared: bool = False) -> list[CaseFiles]:
    """Return the id, subject and fold of each item of a data set in memory; see `cases_of`.

    Args:
        items: the data set.
        prepared: whether prepared cases are accepted.

    Raises:
        DataError: an item is no case, or is prepared already and must not be.
    """
    return [
        CaseFiles(item.id, item.subject, item.fold, (), Path(item.id), lists=item.lists)
        if prepared and isinstance(item, Case)
        else _place(place, _stored(place, item))
        for place, item in enumerate(_read_each(items))
    ]


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


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """Convert what a user's data set, object or array raises when it is read to a DataError."""
    try:
        yield
    except NormsearchError:
        raise
    # User code may raise anything; the traceback is kept as the cause.
    except Exception as error:
        raise DataError(f"{where}: must be readable, and raised: {one_line(error)}") from error


def _read_each(items: Sequence[Any]) -> Iterator[Any]:
    for place in range(len(items)):
        with _readable(f"data[{place}]"):
            item = items[place]
        yield item


def _parts(place: int, item: Any) -> dict[str, Any]:
    where = f"data[{place}]"
    if isinstance(item, list | tuple) and len(item) == 2:
        return {"image": item[0], "label": item[1]}
    with _readable(where):
        if isinstance(item, Mapping):
            parts = {key: item[name] for name, key in _meant(where, [*item]).items()}
        else:
            known = _attributes(where, item)
            parts = {key: getattr(item, name) for name, key in known.items()}
    if not {"image", "label"} <= parts.keys():
        raise DataError(
            f"{where}: must be a pair (image, label), or hold image and label, got "
            f"{type(item).__name__}"
        )
    return parts


def _meant(where: str, names: Sequence[Any]) -> dict[Any, str]:
    """Return the key that each name of a mapping means; the names are those of tables."""
    texts = [name for name in names if isinstance(name, str)]
    found: dict[Any, str] = {**meanings(texts, _NAMES)}
    found |= {name: "spacing" for name in texts if name == "spacing"}
    for name in names:
        if name not in found:
            raise DataError(
                f"{where}: must have the keys {', '.join(_KEYS)} alone, got {short(name)}; rename "
                f"or remove it.{did_you_mean(str(name), _KEYS)}"
            )
    _refuse_twice(where, found)
    return found


def _attributes(where: str, item: Any) -> dict[str, str]:
    """Return the key that each attribute of an object means; methods mean none."""
    exact = {name: name for name in _KEYS if hasattr(item, name)}
    others = [
        name
        for name in dir(item)
        if not name.startswith("_") and not callable(getattr(type(item), name, None))
    ]
    lacking = [name for name in _NAMES if name not in exact]
    found = {**exact, **meanings([name for name in others if name not in exact], lacking)}
    _refuse_twice(where, found)
    return found


def _refuse_twice(where: str, found: Mapping[Any, str]) -> None:
    for key, number in Counter(found.values()).items():
        if number > 1:
            same = " and ".join(repr(name) for name, one in found.items() if one == key)
            raise DataError(f"{where}: one name must give the {key}, got {same}; remove the others")


def _case(place: int, parts: dict[str, Any], preparation: Preparation) -> Case:
    where = _place(place, parts)
    raw, noted = _read(where, place, parts, preparation)
    path = where.images[0] if where.images else where.label / "image"
    refuse(where.label, check_grid(where.id, path, raw, preparation))
    return as_case(where, prepared_from(raw, preparation, noted))


def _place(place: int, parts: dict[str, Any]) -> CaseFiles:
    image, label = parts["image"], parts["label"]
    several = image if isinstance(image, list | tuple) else [image]
    files = isinstance(label, str | Path)
    if files != (bool(several) and all(isinstance(one, str | Path) for one in several)):
        raise DataError(
            f"data[{place}]: image and label must both be files, or both be in memory, got "
            f"{type(image).__name__} and {type(label).__name__}"
        )
    images = tuple(map(Path, several)) if files else ()
    name, subject, fold = (_text(place, key, parts.get(key)) for key in ("id", "subject", "fold"))
    name = name or (case_id(images[0]) if files else f"case-{place:04d}")
    return CaseFiles(name, subject or name, fold, images, Path(label) if files else Path(name))


def _absent(value: object) -> bool:
    """Return whether a value is None, or the NaN that stands for none in tables of pandas."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(place: int, key: str, value: Any) -> str:
    """Return an id, subject or fold as text, '' if there is none; 1.0 is 1, as pandas writes it."""
    if _absent(value):
        return ""
    if isinstance(value, str):
        return value.strip()
    whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (whole or isinstance(value, Integral)):
        raise DataError(
            f"data[{place}].{key}: must be a text or a whole number, got {short(value)}; write it "
            "as text, or leave the key out"
        )
    return str(int(value))


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
    faults += [*check_image(where.id, *grids[0], shown), *check_pair(where.id, *grids)]
    raw = RawCase(shown, mask[0], spacing_of(image), values, is_oriented(image))
    return raw, faults


def _volume(parts: dict[str, Any], place: int, name: str) -> Volume:
    given = parts[name]
    if isinstance(given, Volume):
        _numbers(given.array, place, name, axes=given.array.ndim)
        return given
    array = _numbers(given, place, name, axes=4 if name == "image" else 3)
    array = array[None] if array.ndim == 2 else array
    spacing = _spacing(place, parts.get("spacing"))
    if array.ndim == 4:
        return Volume(array, (math.nan, *spacing), kinds=("vector", *("domain",) * 3))
    return Volume(array, spacing)


def _spacing(place: int, value: Any) -> Spacing:
    if _absent(value):
        return _UNKNOWN
    try:
        z, y, x = (float(step) for step in value)
    except (TypeError, ValueError):  # too few, too many, or no numbers
        z = y = x = 0.0
    if not all(math.isnan(step) or 0 < step < math.inf for step in (z, y, x)):
        raise DataError(
            f"data[{place}].spacing: must be three numbers above 0, mm along z, y and x (nan where "
            f"unknown), got {short(value)}"
        )
    return z, y, x


def _numbers(given: Any, place: int, name: str, axes: int) -> npt.NDArray[Any]:
    """Return an array of numbers with voxels and 2 to `axes` axes."""
    where = f"data[{place}].{name}"
    with _readable(where):
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            given = given.float() if given.dtype == torch.bfloat16 else given
        array = np.asarray(given)
    if array.dtype.kind not in "biuf" or not array.size or not 2 <= array.ndim <= axes:
        shapes = "(y, x), (z, y, x)" + (" or (channels, z, y, x)" if axes == 4 else "")
        raise DataError(
            f"{where}: must be a file, a volume or an array of numbers {shapes} with voxels, got "
            f"{array.dtype} {array.shape}"
        )
    if np.ma.is_masked(given):
        raise DataError(
            f"{where}: must have no masked voxels, got a masked array, whose mask a training would "
            "ignore; replace them, for example by filled(0)"
        )
    return array
