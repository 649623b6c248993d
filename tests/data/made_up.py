"""Tiny data sets that several tests write."""

from pathlib import Path
from typing import Any

import numpy as np

from normsearch.data import CaseFiles, Volume, write_volume

Array = np.ndarray[Any, Any]
SPACING = (3.0, 1.0, 2.0)


def write_case(
    root: Path, name: str, image: Array | None = None, label: Array | None = None
) -> CaseFiles:
    """Write images/NAME.nrrd and labels/NAME.nrrd, 2 slices of 4 x 6 if none are given."""
    image = np.arange(2 * 4 * 6, dtype=np.int16).reshape(2, 4, 6) if image is None else image
    label = (image > 20).astype(np.uint8) if label is None else label
    paths = root / "images" / f"{name}.nrrd", root / "labels" / f"{name}.nrrd"
    for path, array in zip(paths, (image, label), strict=True):
        write_volume(path, Volume(array, SPACING[-array.ndim :]))
    return CaseFiles(name, name, "", (paths[0],), paths[1])
