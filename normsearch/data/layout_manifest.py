"""A table of cases, manifest.csv, .tsv or .json: id, image, label, subject, fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.pairing import (
    Found,
    case_id,
    duplicates,
    inside,
    missing,
    unused_files,
)
from normsearch.data.tables import WORDS, Table, columns, read_table
from normsearch.errors import DataError
from normsearch.files import is_file
from normsearch.files.json_file import read_json

_NAMES = ("manifest.csv", "manifest.tsv", "manifest.json")
_LISTS = (".csv", ".tsv", ".json", ".xlsx", ".pkl")


def fits(root: Path) -> bool:
    """Return whether `root` is a manifest or holds one."""
    return _manifest(root) is not None


def find(root: Path) -> Found:
    """Return the cases of a manifest, in order of their ids.

    A row has ``image`` and ``label``, paths relative to the manifest and below its folder. Several
    images (a list, or separated by ;) are several input channels. ``id`` defaults to the first
    image's name, ``subject`` to the id and ``fold`` to ''. `WORDS` lists the accepted names of
    columns; other columns are ignored.

    Raises:
        DataError: the table is invalid, a column is misspelt, or a path leads out of its folder.
    """
    path = _manifest(root)
    if path is None:
        raise DataError(
            f"{root}: must be or hold {' or '.join(_NAMES)}, but does not; check the path"
        )
    cases: list[CaseFiles] = []
    faults: list[Fault] = []
    table = _table(path)
    for number, row in enumerate(table.rows, 1):
        case = _case(path, number, row)
        absent = missing(case.id, (*case.images, case.label), path)
        faults += absent
        if not absent:
            cases.append(case)
    faults += duplicates(path, (case.id for case in cases))
    told = tuple(f"{name} of {path.name}" for name in table.unused)
    beside = tuple(
        name for name in unused_files(path.parent, (path.name,)) if name.endswith(_LISTS)
    )
    return Found(sorted(cases, key=lambda case: case.id), faults, unused=told + beside)


def folder_of(root: Path) -> Path:
    """Return the folder that a manifest's paths are relative to."""
    return root.parent if is_file(root) else root


def _manifest(root: Path) -> Path | None:
    if is_file(root) and root.suffix in (".csv", ".tsv", ".json"):
        return root
    return next((root / name for name in _NAMES if is_file(root / name)), None)


def _table(path: Path) -> Table:
    if path.suffix != ".json":
        table = read_table(path, WORDS)
        table = Table(table.rows, tuple(f"column '{name}'" for name in table.unused))
    else:
        table = _listed(path)
    if not table.rows:
        raise _no_cases(path)
    return table


def _listed(path: Path) -> Table:
    """Return the rows of a JSON list of objects, or of the list under ``cases``."""
    raw = read_json(path, DataError)
    beside = [key for key in raw if key != "cases"] if isinstance(raw, dict) else []
    rows = raw.get("cases") if isinstance(raw, dict) else raw
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _no_cases(path)
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    keys = columns(path, names, WORDS)
    unused = [f"key '{name}'" for name in (*(n for n in names if n not in keys), *beside)]
    found = [{keys[key]: value for key, value in row.items() if key in keys} for row in rows]
    return Table(found, tuple(unused))


def _no_cases(path: Path) -> DataError:
    return DataError(
        f"{path}: must be a list of cases, each with image and label, got none; "
        "write one row per case"
    )


def _case(path: Path, number: int, row: Mapping[str, Any]) -> CaseFiles:
    images, label = _several(row.get("image")), row.get("label")
    if not images or not label or not isinstance(label, str):
        lacking = "label" if images else "image"
        raise DataError(
            f"{path}: every row must give image and label, got no {lacking} in row {number}; "
            "fill it in"
        )
    root = path.parent
    files = tuple(inside(root, image, path) for image in images)
    name = _text(row, "id") or case_id(files[0])
    subject = _text(row, "subject") or name
    return CaseFiles(name, subject, _text(row, "fold"), files, inside(root, label, path))


def _several(value: object) -> list[str]:
    parts = value if isinstance(value, list) else str(value or "").split(";")
    return [str(part).strip() for part in parts if str(part).strip()]


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value).strip()
