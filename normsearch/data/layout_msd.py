"""Medical Segmentation Decathlon: dataset.json with training: [{image, label}].

A 4D image holds several channels. http://medicaldecathlon.com
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from normsearch.data.cases import CaseFiles
from normsearch.data.description import background_fault, count_fault, read_labels, unused_keys
from normsearch.data.pairing import (
    Found,
    Pair,
    case_id,
    duplicates,
    inside,
    missing,
    named_channels,
    unused_files,
    with_folds,
)
from normsearch.data.tables import columns
from normsearch.errors import DataError
from normsearch.files import is_file, is_there
from normsearch.files.json_file import read_json

_USED = {"training", "labels", "modality", "numTraining"}
_FILES = ("dataset.json", "imagesTr", "labelsTr", "folds.csv", "splits_final.json")


def fits(root: Path) -> bool:
    """Return whether `root` has this layout."""
    path = root / "dataset.json"
    raw = read_json(path, DataError) if is_file(path) else {}
    return isinstance(raw, dict) and "training" in raw


def find(root: Path) -> Found:
    """Return the cases of ROOT/dataset.json; folds.csv or splits_final.json may define folds.

    Raises:
        DataError: dataset.json is not in the Decathlon's format, or names files outside `root`.
    """
    path = root / "dataset.json"
    raw = read_json(path, DataError)
    try:
        entries = [(str(entry["image"]), str(entry["label"])) for entry in raw["training"]]
        labels = read_labels(raw.get("labels", {}))
        channels = len(raw["modality"]) if "modality" in raw else None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: must give training as a list of {{image, label}} and labels as "
            f"{{value: name}}, got '{error!r}'; correct it as on medicaldecathlon.com"
        ) from error
    faults = duplicates(path, (case_id(Path(image)) for image, _ in entries))
    pairs = {}
    for image, label in entries:
        pair = Pair((inside(root, image, path),), inside(root, label, path))
        name = case_id(pair.images[0])
        absent = missing(name, (*pair.images, pair.label), path)
        faults += absent
        if not absent:
            pairs[name] = pair
    faults += count_fault(path, raw, len(entries)) + background_fault(path, labels)
    parts = with_folds(root, pairs, {case_id(Path(image)) for image, _ in entries})
    facts, beside = _facts(path, raw["training"])
    cases = parts.cases if is_there(root / "folds.csv") else _with_facts(parts.cases, facts)
    used = {*_FILES, *(Path(file).parts[0] for entry in entries for file in entry)}
    return Found(
        cases,
        faults + parts.faults,
        labels.names,
        labels.ignored,
        labels.regions,
        channels,
        (*unused_keys(path, raw, _USED), *beside, *_not_listed(root, entries), *parts.unused,
         *unused_files(root, used)),
        named_channels(raw.get("modality")),
    )  # fmt: skip


def _facts(
    path: Path, entries: list[dict[str, Any]]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return subject and fold by case, as in MONAI's lists, and the unused keys."""
    names = list(dict.fromkeys(str(key) for entry in entries for key in entry))
    names = [name for name in names if name not in ("image", "label")]
    keys = columns(path, names, ("subject", "fold"))
    facts = {
        case_id(Path(str(entry["image"]))): {
            keys[name]: str(entry[name]).strip() for name in keys if name in entry
        }
        for entry in entries
    }
    return facts, [f"'{name}' of the cases in {path.name}" for name in names if name not in keys]


def _with_facts(cases: list[CaseFiles], facts: dict[str, dict[str, str]]) -> list[CaseFiles]:
    return [
        replace(
            case,
            subject=facts[case.id].get("subject") or case.subject,
            fold=case.fold if case.lists else facts[case.id].get("fold", case.fold),
        )
        for case in cases
    ]


def _not_listed(root: Path, entries: list[tuple[str, str]]) -> list[str]:
    """Return one text per folder with training images that are in no entry."""
    listed = {inside(root, file, root) for entry in entries for file in entry}
    told = []
    for folder in sorted({path.parent for path in listed if os.path.isfile(path)} - {root}):
        there = [p for p in folder.glob("*") if not p.name.startswith(".") and p not in listed]
        if there:
            told.append(f"{folder.name}/: {len(there)} files that training does not list")
    return told
