"""images/ID.ext and labels/ID.ext, with an optional folds.csv."""

from __future__ import annotations

from pathlib import Path

from normsearch.data.faults import Fault
from normsearch.data.pairing import (
    Found,
    Pair,
    files_by_id,
    other_endings,
    unused_files,
    with_folds,
)
from normsearch.data.volume import FORMATS
from normsearch.files import is_folder


def fits(root: Path) -> bool:
    """Return whether `root` has this layout."""
    return is_folder(root / "images")


def find(root: Path) -> Found:
    """Return the cases of images/ and labels/; the suffixes of the two may differ.

    Raises:
        DataError: a folder is missing or empty, or folds.csv or splits_final.json is invalid.
    """
    images, doubles = files_by_id(root / "images")
    labels, others = files_by_id(root / "labels")
    unpaired = [
        Fault("unpaired", name, str(path), f"have a file of its name in {other}/", "none", cure)
        for mine, theirs, other in ((images, labels, "labels"), (labels, images, "images"))
        for name, path in mine.items()
        if name not in theirs
        for cure in (f"add {other}/{name} or remove this file",)
    ]
    pairs = {name: Pair((images[name],), labels[name]) for name in images.keys() & labels}
    parts = with_folds(root, pairs, images.keys() | labels)
    told = {fault.case for fault in unpaired}  # and not again for their folds
    more = [fault for fault in parts.faults if fault.case not in told]
    beside = unused_files(root, ("images", "labels", "folds.csv", "splits_final.json"))
    odd = (name for part in ("images", "labels") for name in other_endings(root / part, FORMATS))
    unused = tuple(dict.fromkeys((*parts.unused, *beside, *odd)))
    return Found(parts.cases, doubles + others + unpaired + more, unused=unused)
