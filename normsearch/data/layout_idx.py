"""IDX files with the names of MNIST and Fashion-MNIST: each case is an image with a class.

http://yann.lecun.com/exdb/mnist, https://github.com/zalandoresearch/fashion-mnist
"""

from __future__ import annotations

from pathlib import Path

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.idx import read_idx
from normsearch.data.pairing import Found
from normsearch.errors import DataError
from normsearch.files import is_file

_FOLDS = {"train": "train", "test": "t10k"}


def fits(root: Path) -> bool:
    """Return whether `root` has this layout."""
    return any(_file(root, f"{prefix}-images-idx3-ubyte") for prefix in _FOLDS.values())


def find(root: Path) -> Found:
    """Return one case per image, in the folds ``train`` and ``test`` (files that begin with t10k).

    The labels are all classes from 0 to the highest one; they have no names.

    Raises:
        DataError: a file is missing or damaged.
    """
    cases: list[CaseFiles] = []
    faults: list[Fault] = []
    classes = 0
    for fold, prefix in _FOLDS.items():
        images = _file(root, f"{prefix}-images-idx3-ubyte")
        labels = _file(root, f"{prefix}-labels-idx1-ubyte")
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            there = images or labels
            raise DataError(
                f"{root}: {prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte must both be "
                f"there, each with or without .gz, got only {there}; copy the other one there"
            )
        values = read_idx(labels)
        classes = max(classes, 1 + int(values.max(initial=0)))
        counts = len(read_idx(images)), len(values)
        if counts[0] != counts[1]:
            expected = f"have one class for each of {counts[0]} images"
            found, cure = f"{counts[1]} classes", "download both files again"
            faults.append(Fault("unpaired", "", str(labels), expected, found, cure))
        names = [f"{fold}-{index:05d}" for index in range(min(counts))]
        cases += [
            CaseFiles(name, name, fold, (images,), labels, index)
            for index, name in enumerate(names)
        ]
    return Found(cases, faults, labels=dict.fromkeys(range(classes), ""))


def _file(root: Path, name: str) -> Path | None:
    return next((root / file for file in (name, f"{name}.gz") if is_file(root / file)), None)
