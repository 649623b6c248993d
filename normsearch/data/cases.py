"""One case: a subject's images and label, as files and as arrays ready for training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from normsearch.data.labels import IGNORED


@dataclass(frozen=True)
class SplitLists:
    """The splits of a data set that name one case in a list of theirs; a split is named as a fold.

    Attributes:
        train: those that train on it.
        validation: those that validate on it.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseFiles:
    """Where one case lies.

    Attributes:
        id: unique in its data set.
        subject: whom it shows; a split never parts a subject.
        fold: '' where the data set names none; of split lists, the first that validates on it.
        images: one file, or one for each input channel.
        label: the file of the mask, or of the classes.
        index: its place in files that hold many cases (IDX), else None.
        lists: which splits name it, where the data set has lists of training cases, else None.
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
        """The folds that it belongs to: one at most, but where split lists overlap."""
        return _folds(self)


@dataclass(frozen=True, eq=False)
class Case:
    """One case in memory.

    Attributes:
        image: float32, (slices, channels, y, x), intensities normalized.
        label: uint8 class indices, 0 = background, `IGNORED` = left out of loss and score:
            (slices, y, x); or (1,), the image's class.
        spacing: mm from slice to slice, row to row, column to column; nan where unknown.
        oriented: whether its files give an orientation, and so its axes are the canonical ones.
        lists: which splits name it, where the data set has lists of training cases, else None.
        uncropped: the image before it was cropped, None if it was not.
        own_label: the label on the case's own grid, None if it is `label`.
        own_spacing: of that grid, None if it is `spacing`.
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
        """The folds that it belongs to: one at most, but where split lists overlap."""
        return _folds(self)

    @property
    def whole_image(self) -> npt.NDArray[np.float32]:
        """The image without what cropping took from it; it may be resized or padded."""
        return self.image if self.uncropped is None else self.uncropped

    @property
    def whole_label(self) -> npt.NDArray[np.uint8]:
        """The label on the case's own grid: what scores are of."""
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
    shown = {int(value) for case in cases for value in np.unique(case.whole_label)}
    return shown - {0, IGNORED}


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
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
