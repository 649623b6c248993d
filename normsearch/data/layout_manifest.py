"""A table of cases, manifest.csv or manifest.json: id, image, label, subject or group, fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.pairing import (
    Found,
    case_id,
    inside,
    missing,
    read_json,
    read_table,
    twice,
)
from normsearch.errors import DataError, did_you_mean

_NAMES = ("manifest.csv", "manifest.json")
_KEYS = ("id", "image", "label", "subject", "group", "fold")


def fits(root: Path) -> bool:
    """Tell whether `root` is a manifest or holds one."""
    return _manifest(root) is not None


def find(root: Path) -> Found:
    """Return the cases of a manifest, in order of their ids.

    A row has ``image`` and ``label``, paths relative to the manifest and below its folder; several
    images (a list, or separated by ;) are several input channels. ``id`` is the first image's name
    if not given, ``subject`` (or ``group``) the id, ``fold`` ''. Other columns are left alone.

    Raises:
        DataError: it is no such table, or a path leads out of its folder.
    """
    path = _manifest(root)
    if path is None:
        raise DataError(
            f"{root}: must be or hold {' or '.join(_NAMES)}, but does not; check the path"
        )
    cases: list[CaseFiles] = []
    faults: list[Fault] = []
    for number, row in enumerate(_rows(path), 1):
        case = _case(path, number, row)
        absent = missing(case.id, (*case.images, case.label), path)
        faults += absent
        if not absent:
            cases.append(case)
    faults += twice(path, (case.id for case in cases))
    return Found(sorted(cases, key=lambda case: case.id), faults, {})


def folder_of(root: Path) -> Path:
    """Return the folder that a manifest's paths are relative to."""
    return root.parent if root.is_file() else root


def _manifest(root: Path) -> Path | None:
    if root.is_file() and root.suffix in (".csv", ".json"):
        return root
    return next((root / name for name in _NAMES if (root / name).is_file()), None)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix == ".csv":
        rows: Any = read_table(path).to_dict("records")
    else:
        raw = read_json(path)
        rows = raw.get("cases") if isinstance(raw, dict) else raw
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(
            f"{path}: must be a list of cases, each with image and label, got none; "
            "write one row per case"
        )
    return rows


def _case(path: Path, number: int, row: Mapping[str, Any]) -> CaseFiles:
    images, label = _several(row.get("image")), row.get("label")
    if not images or not label or not isinstance(label, str):
        lacking = "label" if images else "image"
        others = (key for key in row if key not in _KEYS)
        close = next(filter(None, (did_you_mean(str(key), _KEYS) for key in others)), "")
        raise DataError(
            f"{path}: every row must give image and label, got no {lacking} in row {number}; "
            f"fill it in.{close}"
        )
    root = path.parent
    files = tuple(inside(root, image, path) for image in images)
    name = _text(row, "id") or case_id(files[0])
    subject = _text(row, "subject") or _text(row, "group") or name
    return CaseFiles(name, subject, _text(row, "fold"), files, inside(root, label, path))


def _several(value: object) -> list[str]:
    parts = value if isinstance(value, list) else str(value or "").split(";")
    return [str(part).strip() for part in parts if str(part).strip()]


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)
