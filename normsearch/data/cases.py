"""One case: a subject's images and label, as files and as arrays ready for training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CaseFiles:
    """Where one case lies.

    Attributes:
        id: unique in its data set.
        subject: whom it shows; a split never parts a subject.
        fold: '' where the data set names none.
        images: one file, or one for each input channel.
        label: the file of the mask, or of the classes.
        index: its place in files that hold many cases (IDX), else None.
    """

    id: str
    subject: str
    fold: str
    images: tuple[Path, ...]
    label: Path
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One case in memory.

    Attributes:
        image: float32, (slices, channels, y, x), intensities normalized.
        label: uint8 class indices, 0 = background: (slices, y, x); or (1,), the image's class.
        spacing: mm from slice to slice, row to row, column to column; nan where unknown.
        oriented: whether its files give an orientation, and so its axes are the canonical ones.
    """

    id: str
    subject: str
    fold: str
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]
    oriented: bool = False


def fingerprint(cases: Iterable[Case]) -> str:
    """Return the SHA-256, in hexadecimal, of the cases' names, folds and voxels, in any order."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: case.id):
        shapes = [case.image.shape, case.label.shape]
        digest.update(json.dumps([case.id, case.subject, case.fold, *shapes]).encode())
        digest.update(np.ascontiguousarray(case.image).data)
        digest.update(np.ascontiguousarray(case.label).data)
    return digest.hexdigest()
