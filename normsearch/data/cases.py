"""One case: a subject's image and label, as files and as arrays ready for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CaseFiles:
    """Where one case lies; `fold` is '' where the data set names none."""

    id: str
    subject: str
    fold: str
    image: Path
    label: Path


@dataclass(frozen=True, eq=False)
class Case:
    """One case in memory.

    Attributes:
        image: float32, (slices, channels, y, x), intensities normalized.
        label: uint8, (slices, y, x), 1 = foreground, 0 = background.
        spacing: mm from slice to slice, row to row, column to column; nan where unknown.
    """

    id: str
    subject: str
    fold: str
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]
