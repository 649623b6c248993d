"""nnU-Net raw: imagesTr/CASE_0000.ext (a file per channel), labelsTr/CASE.ext, dataset.json.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from normsearch.data.faults import Fault
from normsearch.data.layout_msd import label_names
from normsearch.data.pairing import (
    Found,
    Pair,
    case_id,
    files_by_id,
    read_json,
    with_folds,
)
from normsearch.errors import DataError

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def fits(root: Path) -> bool:
    """Tell whether `root` looks like this layout, of nnU-Net 2 or 1."""
    first = next((root / "imagesTr").glob("*_0000.*"), None)
    return first is not None and (root / "dataset.json").is_file()


def find(root: Path) -> Found:
    """Return the cases of imagesTr/ and labelsTr/.

    splits_final.json, if it lies beside dataset.json, gives the folds: fold "K" are the cases that
    its K-th split (from 0) validates on, so ``validation_folds: [0]`` trains and validates as
    nnU-Net's fold 0 does. A folds.csv does the same job and gives subjects too.

    Raises:
        DataError: dataset.json, splits_final.json or the folders are not as nnU-Net has them.
    """
    path = root / "dataset.json"
    raw = read_json(path)
    try:
        channels = len(raw.get("channel_names") or raw["modality"])
        ending = str(raw.get("file_ending", ".nii.gz"))
        labels = label_names(raw.get("labels", {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: must give channel_names, labels and file_ending, got '{error!r}'; "
            "correct it as nnU-Net's dataset_format.md says"
        ) from error
    files, doubles = files_by_id(root / "imagesTr", (ending,))
    masks, faults = files_by_id(root / "labelsTr", (ending,))
    faults += doubles
    images, pairs = _channels(files), {}
    for name in sorted(images.keys() | masks):
        fault = _incomplete(root, name, images.get(name, {}), masks.get(name), channels)
        if fault:
            faults.append(fault)
        else:
            pairs[name] = Pair(tuple(images[name][i] for i in range(channels)), masks[name])
    cases, more = with_folds(root, pairs)
    if (root / "splits_final.json").is_file() and not (root / "folds.csv").is_file():
        folds = _splits(root / "splits_final.json")
        cases = [replace(case, fold=folds.get(case.id, "")) for case in cases]
    return Found(cases, faults + more, labels)


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


def _splits(path: Path) -> dict[str, str]:
    raw: Any = read_json(path)
    folds: dict[str, str] = {}
    try:
        for number, split in enumerate(raw):
            for name in split["val"]:
                if folds.setdefault(str(name), str(number)) != str(number):
                    raise DataError(
                        f"{path}: every case must be validated on in one split at most, got "
                        f"{name} in {folds[name]} and {number}; take it out of one"
                    )
    except (LookupError, TypeError) as error:
        raise DataError(
            f"{path}: must be a list of {{train, val}}, each a list of cases, got '{error!r}'; "
            "copy it again from nnUNet_preprocessed"
        ) from error
    return folds
