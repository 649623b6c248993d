"""Training samples as they are and as they are augmented, with the outline of the label."""

from __future__ import annotations

import sys
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, command
from normsearch.analysis.palette import caption_below
from normsearch.errors import StudyError, one_line
from normsearch.files import is_file

COLUMNS = ["sample", "change", "foreground", "difference"]

READING = {
    "augmentation": (
        "What the network is trained on",
        "Two training samples as they are (left) and with six random changes each, with the "
        "outline of the label. Anatomy should stay plausible, and the outline on the organ.",
    )
}

#: Colour of the outline.
OUTLINE = "#E69F00"

_FILE, _MOST = "augmentation.npz", 256 * 2**20
_DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, RuntimeError, TypeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)


def read(study: StudyLike) -> dict[str, npt.NDArray[Any]]:
    """Return the pictures of a run: image and label, (samples, 7, y, x), the first unchanged.

    Raises:
        StudyError: the study has no augmentation, its run no pictures, or they are damaged.
    """
    path = study.folder / _FILE
    if not is_file(path):
        raise StudyError(
            f"{study.name}: augmentation needs a run with task.augmentation, which writes {_FILE}."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST:
                raise ValueError(f"more than {_MOST:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("image", "label")}
        shape = found["image"].shape
        if len(shape) != 4 or found["label"].shape != shape or 0 in shape:
            raise ValueError(f"shapes {shape} and {found['label'].shape}")
        if not np.isfinite(found["image"].astype(float)).all():
            raise ValueError("intensities that are not finite")
    except _DAMAGED as error:
        raise StudyError(f"{path}: must be whole, got '{one_line(error)}'; remove it.") from error
    return found


def compute(study: StudyLike) -> pd.DataFrame:
    """Measure how much each shown change alters a sample.

    Returns:
        One row a picture, with columns sample (1 or 2), change (0 for the sample as it is, 1 to
        6), foreground (pixels) and difference (mean absolute difference from the sample as it is,
        as a share of its standard deviation).

    Raises:
        StudyError: the run has no pictures.
    """
    found, rows = read(study), list[tuple[int, int, int, float]]()
    for sample, (images, labels) in enumerate(zip(found["image"], found["label"], strict=True), 1):
        own, spread = images[0].astype(float), max(float(images[0].std()), 1e-12)
        for change, (image, label) in enumerate(zip(images, labels, strict=True)):
            away = float(np.abs(image - own).mean()) / spread
            rows.append((sample, change, int((label > 0).sum()), away))
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(image: npt.NDArray[Any], label: npt.NDArray[Any], ax: Axes, limits: Any) -> None:
    """Draw an image with the outline of its label.

    Args:
        image: (y, x).
        label: (y, x), above 0 in the foreground.
        ax: where to draw.
        limits: the intensities shown as black and as white.
    """
    ax.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
    if 0 < (label > 0).sum() < label.size:
        ax.contour(label > 0, levels=[0.5], colors=[OUTLINE], linewidths=1.0)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def figure(study: StudyLike) -> Figure:
    """Return the figure augmentation; raises StudyError for a run without pictures."""
    df, found = compute(study), read(study)
    count, columns = found["image"].shape[:2]
    fig = Figure(figsize=(1.35 * columns, 0.7 + 1.45 * count), layout="constrained")
    axes = fig.subplots(count, columns, squeeze=False)
    for row, (images, labels) in enumerate(zip(found["image"], found["label"], strict=True)):
        low, high = np.percentile(images[0], (0.5, 99.5))
        limits = (float(low), float(max(high, low + 1e-6)))
        for image, label, ax in zip(images, labels, axes[row], strict=True):
            draw(image, label, ax, limits)
        axes[row, 0].set_ylabel(f"sample {row + 1}")
    for place, ax in enumerate(axes[0]):
        ax.set_title("as it is" if place == 0 else f"change {place}")
    caption_below(fig, describe(df))
    return fig


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    changed = df[df["change"] > 0]
    share = int((changed["difference"] > 0).sum())
    return (
        f"{share} of {len(changed)} samples are changed. Grey values are those of the sample as it "
        "is; the outline is that of all foreground classes."
    )


if __name__ == "__main__":
    sys.exit(command("augmentation"))
