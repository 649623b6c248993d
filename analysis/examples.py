"""Truth, prediction and overlap of the best, median and worst case."""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import completed, scored_on
from normsearch.analysis.palette import caption_below
from normsearch.errors import StudyError, one_line

COLUMNS = [
    "number",
    "which",
    "case",
    "score",
    "overlap",
    "missed",
    "false",
    "height",
    "width",
    "unit",
]

#: The arrays of an examples.npz, and the allowed kinds of their types.
_ARRAYS = {"image": "fiu", "truth": "biuf", "prediction": "biuf", "case": "U", "score": "f",
           "spacing": "f"}  # fmt: skip
_MOST = 256 * 2**20
_LENGTHS = (1e-6, 1e6)
_DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, RuntimeError, TypeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)

READING = {
    "examples": (
        "What the masks look like",
        "The best, the median and the worst case by score: image, truth, prediction and where "
        "they agree.",
    )
}

#: Colours of the overlap: in both, in the truth alone, in the prediction alone.
COLOURS = {"overlap": "#009E73", "missed": "#E69F00", "false": "#0072B2"}


def read(study: StudyLike) -> tuple[int, dict[str, npt.NDArray[np.generic]]]:
    """Return the trial whose examples are shown (the best that has some) and the arrays.

    ``examples.npz`` in a trial's folder holds image, truth, prediction (K, y, x), case (K,) text,
    score (K,) and spacing (K, 2) in mm, nan where unknown.

    Raises:
        StudyError: no COMPLETE trial has examples, or the file lacks an array.
    """
    table = study.trials()
    done = completed(table)
    if len(done):
        done = done.sort_values("score", ascending=study.direction == "minimize")
    for number in map(int, done.get("number", ())):
        path = study.folder / "trials" / f"{number:04d}" / "examples.npz"
        if path.is_file():
            return number, _load(path)
    raise StudyError(
        f"{study.name}: examples needs a COMPLETE trial with an examples.npz in its folder; "
        "`normsearch confirm` writes them."
    )


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of an examples.npz."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST:
                raise ValueError(f"more than {_MOST:,} bytes")
            names = {entry.filename for entry in archive.infolist()}
            absent = [name for name in _ARRAYS if f"{name}.npy" not in names]
            if absent:
                raise StudyError(f"{path}: must hold {', '.join(_ARRAYS)}; no {absent[0]}.")
            found = {name: _array(archive.read(f"{name}.npy")) for name in _ARRAYS}
    except _DAMAGED as error:
        raise StudyError(f"{path}: must be whole, got '{one_line(error)}'; remove it.") from error
    if not found["score"].size:
        raise StudyError(f"{path}: examples needs a case with a score, got none.")
    if fault := _fault(found):
        raise StudyError(f"{path}: {fault}; remove it.")
    # If the spacing is unknown, lengths are in pixels.
    known = np.isfinite(found["spacing"]).all(axis=1, keepdims=True)
    return {**found, "spacing": np.where(known, found["spacing"], 1.0), "known": known[:, 0]}


def _array(content: bytes) -> npt.NDArray[np.generic]:
    found: npt.NDArray[np.generic] = np.lib.format.read_array(
        io.BytesIO(content), allow_pickle=False
    )
    return found


def _fault(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the fault of shapes, types or values of an examples.npz, or an empty text."""
    shape, count = arrays["image"].shape, arrays["score"].shape
    shapes = {"image": shape, "truth": shape, "prediction": shape, "case": count, "score": count,
              "spacing": (*count, 2)}  # fmt: skip
    for name, kinds in _ARRAYS.items():
        if arrays[name].dtype.kind not in kinds or arrays[name].shape != shapes[name]:
            return f"{name} must not be {arrays[name].dtype} of shape {arrays[name].shape}"
    if len(shape) != 3 or count != shape[:1] or 0 in shape:
        return f"image must be (K, y, x), got {shape}"
    if not (np.isfinite(arrays["image"]).all() and np.isfinite(arrays["score"]).all()):
        return "image and score must be finite"
    spacing = arrays["spacing"][np.isfinite(arrays["spacing"])]
    lengths = ((spacing > _LENGTHS[0]) & (spacing < _LENGTHS[1])).all()
    return "" if lengths else "spacing must be in mm"


def compute(study: StudyLike) -> pd.DataFrame:
    """Measure the overlap of truth and prediction on the shown slice of each case.

    Returns:
        One row an example, the best score first, with columns number (trial), which ("best",
        "median", "worst"), case, score (of the whole case, 0 to 1), overlap, missed, false (area
        of the slice in both, in the truth alone, in the prediction alone), height, width, and unit
        of these ("mm", or "pixels" where the spacing is not known).

    Raises:
        StudyError: no COMPLETE trial has examples.
    """
    number, arrays = read(study)
    rows: list[tuple[object, ...]] = []
    for place in _best_first(study, arrays["score"]):
        truth = arrays["truth"][place].astype(bool)
        prediction = arrays["prediction"][place].astype(bool)
        high, wide = (float(step) for step in arrays["spacing"][place])
        areas = (truth & prediction, truth & ~prediction, prediction & ~truth)
        rows.append((
            number, _which(len(rows), len(arrays["score"])), str(arrays["case"][place]),
            float(arrays["score"][place]), *(float(a.sum()) * high * wide for a in areas),
            truth.shape[0] * high, truth.shape[1] * wide, _unit(arrays["known"][place]),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _best_first(study: StudyLike, scores: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """Return the indices of scores, the best first."""
    sign = 1 if study.direction == "minimize" else -1
    return np.argsort(sign * scores.astype(float), kind="stable")


def _unit(known: object) -> str:
    return "mm" if known else "pixels"


def _which(place: int, count: int) -> str:
    """Return what the example at `place` of `count`, the best first, shows."""
    if place == 0:
        return "best"
    return "worst" if place == count - 1 else "median"


def crop(shown: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of a square around a mask, cut at the slice's border.

    Its side is 2.2 times the larger extent, at least a quarter of the slice's. For an empty mask it
    is the whole slice.
    """
    if not shown.any():
        return slice(None), slice(None)
    ends = [np.flatnonzero(shown.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    half = max(1.1 * max(last + 1 - first for first, last in ends), max(shown.shape) / 8)
    spans = [
        slice(max(0, int(middle - half)), min(size, int(np.ceil(middle + half))))
        for middle, size in zip(((f + e + 1) / 2 for f, e in ends), shown.shape, strict=True)
    ]
    return spans[0], spans[1]


def draw(example: Mapping[str, npt.NDArray[np.generic]], axes: Sequence[Axes]) -> None:
    """Draw one example, with a scale bar, on four axes: image, truth, prediction, overlap.

    Args:
        example: image, truth, prediction (y, x), spacing (2,) in mm and known (whether it is).
        axes: four of them.
    """
    truth, prediction = example["truth"].astype(bool), example["prediction"].astype(bool)
    rows, columns = crop(truth | prediction)
    image = example["image"].astype(float)[rows, columns]
    truth, prediction = truth[rows, columns], prediction[rows, columns]
    low, high = np.percentile(image, (1, 99))
    size = np.array(image.shape) * example["spacing"].astype(float)
    extent = (0.0, float(size[1]), float(size[0]), 0.0)
    masks = {
        "image": {},
        "truth": {"#CC3311": truth},
        "prediction": {"#CC3311": prediction},
        "overlap": {COLOURS["overlap"]: truth & prediction, COLOURS["missed"]: truth & ~prediction,
                    COLOURS["false"]: prediction & ~truth},
    }  # fmt: skip
    for ax, layers in zip(axes, masks.values(), strict=True):
        ax.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
        for colour, mask in layers.items():
            ax.imshow(np.where(mask, 1.0, np.nan), cmap=ListedColormap([colour]), alpha=0.55,
                      extent=extent, interpolation="nearest")  # fmt: skip
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    unit = _unit(example["known"])
    _scale_bar(axes[0], float(size[1]), float(size[0]), unit)


def _scale_bar(ax: Axes, width: float, height: float, unit: str) -> None:
    """Draw a bar of a round number of mm (or pixels), about a third of the width at most."""
    length = max(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if step <= max(0.35 * width, 1))
    outline = [withStroke(linewidth=2, foreground="black")]
    x, y = 0.05 * width, 0.94 * height
    ax.plot([x, x + length], [y, y], color="white", linewidth=2.5, solid_capstyle="butt",
            path_effects=[withStroke(linewidth=4, foreground="black")])  # fmt: skip
    ax.text(x, y - 0.02 * height, f"{length} {unit}", color="white", fontsize=8,
            ha="left", va="bottom", path_effects=outline)  # fmt: skip


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    return (
        f"Trial {df['number'].iloc[0]}; one slice of each case, cropped around truth and "
        "prediction. The score is of the whole case."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure examples; raises StudyError without a trial that has examples."""
    df, (_, arrays) = compute(study), read(study)
    order = _best_first(study, arrays["score"])
    fig = Figure(figsize=(7.6, 0.9 + 1.9 * len(df)), layout="constrained")
    axes = fig.subplots(len(df), 4, squeeze=False)
    for row, place in enumerate(order):
        draw({name: values[place] for name, values in arrays.items()}, axes[row])
        told = df.iloc[row]
        name = study.case_metric
        axes[row, 0].set_ylabel(f"{told['which']}: {told['case']}\n{name} {told['score']:.3f}")
    for ax, title in zip(axes[0], ("image", "truth", "prediction", "overlap"), strict=True):
        ax.set_title(title)
    words = {"overlap": "in both", "missed": "truth alone", "false": "prediction alone"}
    handles = [Patch(color=COLOURS[key], alpha=0.7, label=word) for key, word in words.items()]
    fig.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    caption_below(fig, f"{describe(df)} The cases are {scored_on(study)} cases.")
    return fig


if __name__ == "__main__":
    sys.exit(command("examples"))
