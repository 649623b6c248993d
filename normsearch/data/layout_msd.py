"""Medical Segmentation Decathlon: dataset.json with training: [{image, label}].

A 4D image holds several channels. http://medicaldecathlon.com
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from normsearch.data.pairing import (
    Found,
    Pair,
    case_id,
    inside,
    missing,
    read_json,
    twice,
    with_folds,
)
from normsearch.errors import DataError


def fits(root: Path) -> bool:
    """Tell whether `root` looks like this layout."""
    path = root / "dataset.json"
    return path.is_file() and "training" in read_json(path)


def find(root: Path) -> Found:
    """Return the cases of ROOT/dataset.json; a folds.csv may give subjects and folds.

    Raises:
        DataError: dataset.json is not as the decathlon has it, or names files outside `root`.
    """
    path = root / "dataset.json"
    raw = read_json(path)
    try:
        entries = [(str(entry["image"]), str(entry["label"])) for entry in raw["training"]]
        labels = label_names(raw.get("labels", {}))
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
    cases, more = with_folds(root, pairs)
    return Found(cases, faults + more, labels)


def label_names(labels: dict[str, Any]) -> dict[int, str]:
    """Return {value: name} of either direction: the decathlon's and nnU-Net's are opposite."""
    names: dict[int, str] = {}
    for key, value in labels.items():
        if str(key).isdecimal():
            names[int(key)] = str(value)
        else:  # a region of nnU-Net has several values
            regions = value if isinstance(value, list) else [value]
            names |= {int(one): names.get(int(one), str(key)) for one in regions}
    return names
