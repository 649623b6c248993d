"""Medical Segmentation Decathlon: dataset.json with training: [{image, label}].

A 4D image holds several channels. http://medicaldecathlon.com
"""

from __future__ import annotations

from pathlib import Path

from normsearch.data.description import background_fault, count_fault, read_labels, unused_keys
from normsearch.data.pairing import (
    Found,
    Pair,
    case_id,
    inside,
    missing,
    others_in,
    twice,
    with_folds,
)
from normsearch.data.tables import read_json
from normsearch.errors import DataError

_USED = {"training", "labels", "modality", "numTraining"}
_FILES = ("dataset.json", "imagesTr", "labelsTr", "folds.csv", "splits_final.json")


def fits(root: Path) -> bool:
    """Tell whether `root` looks like this layout."""
    path = root / "dataset.json"
    raw = read_json(path) if path.is_file() else {}
    return isinstance(raw, dict) and "training" in raw


def find(root: Path) -> Found:
    """Return the cases of ROOT/dataset.json; a folds.csv or splits_final.json may give folds.

    Raises:
        DataError: dataset.json is not as the decathlon has it, or names files outside `root`.
    """
    path = root / "dataset.json"
    raw = read_json(path)
    try:
        entries = [(str(entry["image"]), str(entry["label"])) for entry in raw["training"]]
        labels = read_labels(raw.get("labels", {}))
        channels = len(raw["modality"]) if "modality" in raw else None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: must give training as a list of {{image, label}} and labels as "
            f"{{value: name}}, got '{error!r}'; correct it as on medicaldecathlon.com"
        ) from error
    faults = twice(path, (case_id(Path(image)) for image, _ in entries))
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
    used = {*_FILES, *(Path(file).parts[0] for entry in entries for file in entry)}
    return Found(
        parts.cases,
        faults + parts.faults,
        labels.names,
        labels.ignored,
        labels.regions,
        channels,
        (*unused_keys(path, raw, _USED), *_not_listed(root, entries), *parts.unused,
         *others_in(root, used)),
    )  # fmt: skip


def _not_listed(root: Path, entries: list[tuple[str, str]]) -> list[str]:
    """Return what lies among the training images and is in no entry, as one text a folder."""
    listed = {inside(root, file, root) for entry in entries for file in entry}
    told = []
    for folder in sorted({path.parent for path in listed} - {root}):
        there = [p for p in folder.glob("*") if not p.name.startswith(".") and p not in listed]
        if there:
            told.append(f"{folder.name}/ beside what training lists ({len(there)} files)")
    return told
