"""nnU-Net raw: imagesTr/CASE_0000.ext (a file per channel), labelsTr/CASE.ext, dataset.json.

A picture in colours may hold all channels.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

from normsearch.data.description import background_fault, count_fault, read_labels, unused_keys
from normsearch.data.faults import Fault
from normsearch.data.pairing import (
    Found,
    Pair,
    case_id,
    files_by_id,
    named_channels,
    other_endings,
    unused_files,
    with_folds,
)
from normsearch.errors import DataError
from normsearch.files import is_file
from normsearch.files.json_file import read_json

_FILES = ("dataset.json", "imagesTr", "labelsTr", "folds.csv", "splits_final.json")
_COLOURS = (".png", ".tif", ".tiff")
_USED = {"channel_names", "modality", "labels", "file_ending", "numTraining", "training"}
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def fits(root: Path) -> bool:
    """Return whether `root` has this layout, of nnU-Net 2 or 1."""
    first = next((root / "imagesTr").glob("*_0000.*"), None)
    return first is not None and is_file(root / "dataset.json")


def find(root: Path) -> Found:
    """Return the cases of imagesTr/ and labelsTr/.

    A splits_final.json in the same folder defines the folds, so that ``validation_folds: [0]``
    trains and validates as nnU-Net's fold 0. A folds.csv also defines subjects.

    Raises:
        DataError: dataset.json, splits_final.json or the folders are not in nnU-Net's format.
    """
    path = root / "dataset.json"
    raw = read_json(path, DataError)
    try:
        channels = len(raw.get("channel_names") or raw["modality"])
        ending = str(raw.get("file_ending", ".nii.gz"))
        labels = read_labels(raw.get("labels", {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: must give channel_names, labels and file_ending, got '{error!r}'; "
            "correct it as nnU-Net's dataset_format.md says"
        ) from error
    if "dataset" in raw:
        raise DataError(
            f"{path}: must leave its files to imagesTr and labelsTr, got a list of them under "
            "dataset, which is not read; write the list as a manifest.json"
        )
    files, doubles = files_by_id(root / "imagesTr", (ending,))
    masks, faults = files_by_id(root / "labelsTr", (ending,))
    faults += doubles
    images, pairs = _channels(files), {}
    for name in sorted(images.keys() | masks):
        numbers = images.get(name, {})
        whole = sorted(numbers) == [0] and ending.lower() in _COLOURS  # all channels in one file
        fault = _incomplete(root, name, numbers, masks.get(name), 1 if whole else channels)
        if fault:
            faults.append(fault)
        else:
            pairs[name] = Pair(tuple(images[name][i] for i in sorted(images[name])), masks[name])
    names = images.keys() | masks
    faults += background_fault(path, labels)
    faults += count_fault(path, raw, len(names)) + _listed_otherwise(path, raw, names)
    parts = with_folds(root, pairs, names)
    odd = (
        name for part in ("imagesTr", "labelsTr") for name in other_endings(root / part, (ending,))
    )
    return Found(
        parts.cases,
        faults + parts.faults,
        labels.names,
        labels.ignored,
        labels.regions,
        channels,
        (*unused_keys(path, raw, _USED), *parts.unused, *unused_files(root, _FILES), *odd),
        named_channels(raw.get("channel_names") or raw["modality"]),
    )


def _listed_otherwise(path: Path, raw: dict[str, Any], names: Collection[str]) -> list[Fault]:
    """Return the differences between nnU-Net 1's list ``training`` and the folders."""
    entries = raw.get("training")
    if not isinstance(entries, list) or not entries:
        return []
    listed = {
        case_id(Path(str(one["label"])))
        for one in entries
        if isinstance(one, dict) and "label" in one
    }
    absent, more = sorted(listed - set(names)), sorted(set(names) - listed)
    cure = "copy the case there, or take it out of training"
    faults = [
        Fault("unpaired", name, str(path), "list only cases of labelsTr/", name, cure)
        for name in absent
    ]
    if more:
        expected = "list every case of labelsTr/ under training"
        cure = "they are used anyway; move them away if they should not be"
        found = f"none for {', '.join(more[:10])}{' ...' if len(more) > 10 else ''}"
        faults.append(Fault("count", "", str(path), expected, found, cure, "warning"))
    return faults


def _channels(files: dict[str, Path]) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in files.values():
        match = _CHANNEL.fullmatch(case_id(path))
        if match is None:
            raise DataError(
                f"{path}: must be named CASE_0000 and so on, one number per channel; "
                "rename it or move it away"
            )
        found[match[1]][int(match[2])] = path
    return found


def _incomplete(
    root: Path, name: str, images: dict[int, Path], mask: Path | None, channels: int
) -> Fault | None:
    if sorted(images) != list(range(channels)):
        expected = f"hold {name}_0000 to {name}_{channels - 1:04d}, a file per channel"
        found = ", ".join(f"_{number:04d}" for number in sorted(images)) or "none"
        where = str(root / "imagesTr")
        return Fault("unpaired", name, where, expected, found, "add what is missing")
    if mask is None:
        expected = "have a label of its name in labelsTr/"
        where = str(images[0])
        return Fault("unpaired", name, where, expected, "none", "add it or remove the image")
    return None
