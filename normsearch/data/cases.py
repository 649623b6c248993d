"""One case: a subject's images and label, as files and as arrays ready for training."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.labels import IGNORED

_AT_ONCE = 2**22  # voxels read at once


@dataclass(frozen=True)
class SplitLists:
    """The splits of a data set that list a case; splits have the names of folds.

    Attributes:
        train: the splits that train on it.
        validation: the splits that validate on it.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Attributes:
        id: unique in its data set.
        subject: its subject; the cases of a subject stay in one part of a split.
        fold: '' if the data set has none; with split lists, the first one that validates on it.
        images: one file, or one per input channel.
        label: the file of the mask, or of the classes.
        index: its index in files that hold many cases (IDX), else None.
        lists: the splits that list it if the data set lists training cases, else None.
    """

    id: str
    subject: str
    fold: str
    images: tuple[Path, ...]
    label: Path
    index: int | None = None
    lists: SplitLists | None = None

    @property
    def folds(self) -> tuple[str, ...]:
        """The folds of the case: at most one, unless split lists overlap."""
        return _folds(self)


@dataclass(frozen=True, eq=False)
class Case:
    """One prepared case: its arrays lie in memory, or compressed in the cache.

    Those in the cache are `StoredArray`: a slice or an index of one reads that part alone as a
    NumPy array, ``np.asarray(case.image)`` all of it.

    Attributes:
        image: float32, (slices, channels, y, x), intensities normalized.
        label: uint8 class indices, 0 = background, `IGNORED` = left out of loss and score:
            (slices, y, x); or (1,), the image's class.
        spacing: mm between slices, rows and columns; nan if unknown.
        oriented: whether its files give an orientation, so that its axes are canonical.
        lists: the splits that list it if the data set lists training cases, else None.
        uncropped: the image before cropping, None if it was not cropped.
        own_label: the label on the case's own grid, None if that is `label`.
        own_spacing: the spacing of that grid, None if that is `spacing`.
    """

    id: str
    subject: str
    fold: str
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]
    oriented: bool = False
    lists: SplitLists | None = None
    uncropped: npt.NDArray[np.float32] | None = None
    own_label: npt.NDArray[np.uint8] | None = None
    own_spacing: tuple[float, float, float] | None = None

    @property
    def folds(self) -> tuple[str, ...]:
        """The folds of the case: at most one, unless split lists overlap."""
        return _folds(self)

    @property
    def whole_image(self) -> npt.NDArray[np.float32]:
        """The image without cropping; it may be resized or padded."""
        return self.image if self.uncropped is None else self.uncropped

    @property
    def whole_label(self) -> npt.NDArray[np.uint8]:
        """The label on the case's own grid, on which scores are computed."""
        return self.label if self.own_label is None else self.own_label

    @property
    def whole_spacing(self) -> tuple[float, float, float]:
        """The spacing of the case's own grid."""
        return self.spacing if self.own_spacing is None else self.own_spacing


def _folds(case: CaseFiles | Case) -> tuple[str, ...]:
    if case.lists is not None:
        return case.lists.validation
    return (case.fold,) if case.fold else ()


def classes_shown(cases: Iterable[Case]) -> set[int]:
    """Return the class indices above 0 that occur in whole labels, without `IGNORED`."""
    counts = np.zeros(256, np.int64)
    for case in cases:
        for part in slice_blocks(case.whole_label):
            counts += np.bincount(part.ravel(), minlength=256)
    return set(np.flatnonzero(counts).tolist()) - {0, IGNORED}


def slice_blocks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the parts of an array, slices first, that are read at once, in order.

    A whole case may be larger than memory.
    """
    step = max(1, _AT_ONCE // max(math.prod(array.shape[1:]), 1))
    step -= step % 4 if step > 4 else 0  # slices that the cache decompresses together
    for first in range(0, len(array), step):
        yield np.asarray(array[first : first + step])


def fingerprint(cases: Iterable[Case]) -> str:
    """Return the SHA-256, in hexadecimal, of the cases' names, folds, lists and voxels,
    in any order."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: case.id):
        shapes = [case.image.shape, case.label.shape]
        lists = [case.lists.train, case.lists.validation] if case.lists else []
        facts = [case.id, case.subject, case.fold, *shapes, *lists]
        digest.update(json.dumps(facts).encode())
        for array in (case.image, case.label, case.uncropped, case.own_label):
            for part in slice_blocks(array) if array is not None else ():
                digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
