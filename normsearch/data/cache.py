"""A cache of prepared cases on disk: each is built once and verified when it is opened."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from normsearch.data.cache_entries import ENTRY, use_entry
from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.stored_array import StoredArray, compressed
from normsearch.errors import DataError
from normsearch.files import is_file, is_there, open_regular, write_bytes, write_text
from normsearch.files.json_file import read_json

_VERSION = 4  # increases whenever the preparation of the same files and settings changes
_DETACHED = re.compile(rb"^data ?file: *([^\r\n]+)", re.MULTILINE)
_HEADER_BYTES = 2**16
_ARRAYS = ("image", "label", "uncropped", "own_label")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared case.

    Attributes:
        image: float32, (slices, channels, y, x), intensities normalized.
        label: uint8 class indices, (slices, y, x), or (1,).
        spacing: mm along slices, y, x.
        values: the label values in its file.
        warnings: faults that are not errors.
        oriented: whether the image gives an orientation.
        uncropped, own_label, own_spacing: see `Case`.
    """

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]
    values: tuple[int, ...]
    warnings: tuple[Fault, ...] = ()
    oriented: bool = False
    uncropped: npt.NDArray[np.float32] | None = None
    own_label: npt.NDArray[np.uint8] | None = None
    own_spacing: tuple[float, float, float] | None = None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that are not None, by name."""
        found = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in found.items() if array is not None}


def cached(
    folder: Path,
    files: CaseFiles,
    settings: dict[str, Any],
    build: Callable[[], Prepared],
    *,
    data_set: str = "",
) -> Prepared:
    """Return a prepared case from the cache `folder`; build it if necessary.

    Its arrays are `StoredArray`, read where they are sliced. The entry's name is a hash of the
    case's files and of `settings`, so that changes lead to a new entry. Of several processes one
    builds and the others wait. A damaged entry is built again, with a warning. Until this process
    ends, no process removes the entry.

    Args:
        folder: the cache.
        files: the files of the case.
        settings: all that its preparation depends on, as plain values.
        build: prepares the case.
        data_set: the folder of its data set, for users to see.

    Raises:
        DataError: `build` raises it, or the folder cannot be written.
    """
    entry = folder / _key(files, settings)
    use_entry(entry)
    found = _read(entry)
    if found is None:
        try:
            entry.mkdir(parents=True, exist_ok=True)
            with FileLock(entry / "lock"):
                found = _read(entry, warn=True) or _keep(entry, build(), data_set)
        except OSError as error:
            raise DataError(
                f"{entry}: must be a folder to write prepared images to, got '{error}'; "
                "free some space there, or name another folder in NORMSEARCH_CACHE"
            ) from error
    # The entry may have been built from the same files in another folder.
    paths = {path.parts[-2:]: str(path) for path in (*files.images, files.label)}
    here = (replace(w, file=paths.get(Path(w.file).parts[-2:], w.file)) for w in found.warnings)
    return replace(found, warnings=tuple(here))


def _key(files: CaseFiles, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([_VERSION, settings, files.id], sort_keys=True).encode())
    try:
        for path in (*files.images, files.label):
            for part in (path, *_detached(path)):
                with open_regular(part) as file:
                    digest.update(part.name.encode() + hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise DataError(
            f"{error.filename}: must be a readable file, got '{error.strerror}'; "
            "check that it exists and its permissions"
        ) from error
    return digest.hexdigest()


def _detached(path: Path) -> list[Path]:
    """Return the detached data file of an NRRD header, as its bytes matter too."""
    if path.suffix not in (".nrrd", ".nhdr"):
        return []
    with open_regular(path) as file:
        header = file.read(_HEADER_BYTES).partition(b"\n\n")[0]
    named = _DETACHED.search(header)
    data = path.parent / named[1].decode(errors="replace").strip() if named else None
    return [data] if data and is_file(data) else []


def _keep(entry: Path, prepared: Prepared, data_set: str) -> Prepared:
    """Write an entry and return it with stored arrays, so that the others need not stay."""
    (entry / ENTRY).unlink(missing_ok=True)
    for left in entry.iterdir():  # by a process that was killed, or damaged
        if left.name != "lock":
            left.unlink()
    arrays = dict[str, dict[str, Any]]()
    for name, array in prepared.arrays().items():
        content = compressed(array)
        write_bytes(entry / f"{name}.b2nd", content)
        sha256 = hashlib.sha256(content).hexdigest()
        arrays[name] = {"shape": array.shape, "dtype": array.dtype.name, "sha256": sha256}
    facts = {
        "data_set": data_set,
        "spacing": prepared.spacing,
        "values": prepared.values,
        "oriented": prepared.oriented,
        "warnings": [vars(fault) for fault in prepared.warnings],
        "own_spacing": prepared.own_spacing,
        "arrays": arrays,
    }
    write_text(entry / ENTRY, json.dumps(facts))  # last: it marks the entry as complete
    stored: dict[str, Any] = {name: _stored(entry, name, own) for name, own in arrays.items()}
    return replace(prepared, **stored)


def _stored(entry: Path, name: str, facts: dict[str, Any]) -> npt.NDArray[Any]:
    shape = tuple(int(side) for side in facts["shape"])
    stored = StoredArray(entry / f"{name}.b2nd", shape, facts["dtype"])
    return cast(npt.NDArray[Any], stored)  # it has what `Case` promises of its arrays


def _read(entry: Path, *, warn: bool = False) -> Prepared | None:
    """Return an entry, or None if it is missing or damaged."""
    if not is_there(entry / ENTRY):
        return None
    try:
        facts = read_json(entry / ENTRY, DataError, finite=False)
        if not {"image", "label"} <= set(facts["arrays"]) <= set(_ARRAYS):
            raise ValueError("it has other arrays")
        for name, own in facts["arrays"].items():
            with open_regular(entry / f"{name}.b2nd") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != own["sha256"]:
                    raise ValueError("its checksum does not match")
        with suppress(OSError):  # a cache that others have filled may be read-only
            os.utime(entry / ENTRY)
        return Prepared(
            spacing=_steps(facts["spacing"]),
            values=tuple(facts["values"]),
            warnings=tuple(Fault(**fault) for fault in facts["warnings"]),
            oriented=facts["oriented"],
            own_spacing=_steps(facts["own_spacing"]) if facts["own_spacing"] else None,
            **{name: _stored(entry, name, own) for name, own in facts["arrays"].items()},
        )
    except (DataError, OSError, ValueError, LookupError, TypeError, EOFError) as error:
        if warn:
            warnings.warn(f"{entry}: is damaged and is built again ({error})", stacklevel=3)
        return None


def _steps(values: Any) -> tuple[float, float, float]:
    z, y, x = (float(step) for step in values)
    return z, y, x
