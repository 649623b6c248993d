"""Predicts masks of new images, on each image's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from normsearch.config import GeometryConfig, TaskConfig
from normsearch.data import Volume, resampling_to, whole_image
from normsearch.data.checks import check_resampling
from normsearch.data.faults import refuse, warn_once
from normsearch.data.nrrd_geometry import without_channels
from normsearch.data.orientation import turned_back
from normsearch.data.reading import Image, read_image
from normsearch.data.spacing import (
    TOLERANCE,
    Spacing,
    resized_spacing,
    spacing_text,
    unknown_axes,
    within,
)
from normsearch.data.transforms import fitted_image, normalized_image
from normsearch.errors import DataError
from normsearch.training import window_logits
from normsearch.training.precision import autocast
from normsearch.trials.task import sampling_of


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        mask: the label values on the image's grid; None for classification.
        label: the image's class; None for segmentation.
        probability: of that class, from 0 to 1.
    """

    mask: Volume | None = None
    label: int | None = None
    probability: float | None = None


def predict_files(
    network: nn.Module,
    paths: tuple[Path, ...],
    task: TaskConfig,
    sample_shape: tuple[int, ...],
    device: str = "cpu",
    *,
    geometry: GeometryConfig | None = None,
    any_spacing: bool = False,
    amp: str = "off",
) -> Prediction:
    """Read an image, from one file or one per channel, and predict it on its own grid.

    Args:
        network: in eval mode, trained on `task`.
        paths: the image's files.
        task: the preparation of images and the meaning of classes.
        sample_shape: (channels, *spatial) of the training samples.
        device: the device of the network.
        geometry: of the training cases; the image is converted to their orientation. If None, the
            stored axes are used and the spacing is not checked.
        any_spacing: accept images whose spacing differs from the training cases, where the task
            does not resample them.
        amp: the automatic mixed precision; see `TrainedModel.precision`.

    Raises:
        DataError: a file cannot be read, or the image differs from those of the training.
    """
    plane = task.plane if geometry else None
    image, faults = read_image(paths[0].name, paths, plane=plane)
    refuse(paths[0].parent, faults)
    if image is None:
        raise DataError(f"{paths[0]}: must be an image that can be read")
    warn_once(paths[0].parent, [fault for fault in faults if fault.rule != "plane"])
    array = image.array
    expected = sample_shape[0] // (task.slices if task.sample == "stack" else 1)
    if len(array) != expected:
        raise DataError(
            f"{paths[0]}: must have the {expected} channels that the network was trained on, got "
            f"{len(array)}; give one file for each, separated by commas"
        )
    if geometry:
        _check_orientation(paths[0], image, geometry)
    _check_resampling(paths[0], image, task)
    if geometry and not any_spacing:
        _check_spacing(paths[0], image, task, geometry)
    foreground = [row.row for row in task.foreground_intensities or ()]
    prepared = normalized_image(array, task.intensity, foreground)
    with autocast(amp, device):
        if task.kind == "classification":
            return _classify(network, prepared, task, sample_shape, device)
        found = segment(network, prepared, task, sample_shape, device, spacing=image.spacing)
    values = np.array(task.mask_values, np.uint8)
    return Prediction(
        mask=_on_grid_of(image.stored[0], turned_back(values[found], image.stored[0], plane))
    )


def _check_orientation(path: Path, image: Image, geometry: GeometryConfig) -> None:
    if image.oriented != geometry.oriented:
        if geometry.oriented:
            raise DataError(
                f"{path}: must give an orientation, as the training images do, got none; export it "
                "from its source in the format of the training images"
            )
        raise DataError(
            f"{path}: must give no orientation, as the training images give none (arrays in memory "
            "never do), got one, so that nothing says how its axes lie to theirs; train on the "
            "image files themselves, or write its array, with the axes of the training, as .nrrd "
            "with normsearch.data.write_volume(path, Volume(array, spacing))"
        )


def _check_resampling(path: Path, image: Image, task: TaskConfig) -> None:
    """Raise DataError unless the image can be resampled as the task asks."""
    if (target := task.target_spacing) is None:
        return
    if unknown := unknown_axes(image.spacing, target):
        raise DataError(
            f"{path}: must give its spacing, as the model resamples images to "
            f"{spacing_text(target)}, got none along {' and '.join(unknown)}; add it to the file"
        )
    shape = image.array.shape[1:]
    refuse(path.parent, check_resampling(path.name, path, shape, image.spacing, target))


def _check_spacing(path: Path, image: Image, task: TaskConfig, geometry: GeometryConfig) -> None:
    spacing, shape = image.spacing, image.array.shape[1:]
    if task.resized:
        spacing = resized_spacing(spacing, shape, (shape[0], *task.sides)[-3:])
    first = 1 if task.whole == "slice" else 0  # slices are independent of their distance
    axes = range(first, 3 - len(task.target_spacing or ()))  # the others are resampled
    limits = zip(spacing, geometry.least, geometry.greatest, geometry.unknown, strict=True)
    fits = [within(*limit) for limit in limits]
    if all(fits[axis] for axis in axes):
        return
    names = ", ".join(("slices", "rows", "columns")[axis] for axis in axes)
    found = _spacing_text([spacing[axis] for axis in axes])
    least, greatest = (
        _spacing_text([ends[axis] for axis in axes]) for ends in (geometry.least, geometry.greatest)
    )
    trained = least if least == greatest else f"{least} to {greatest}"
    raise DataError(
        f"{path}: the prepared spacing ({names}) must lie within {TOLERANCE:.0%} of that of the "
        f"training cases, {trained}, got {found}; resample the image, or predict it anyway with "
        "--any-spacing"
    )


def _spacing_text(steps: Sequence[float | None]) -> str:
    known = [step is not None and np.isfinite(step) for step in steps]
    if not any(known):
        return "unknown"
    texts = (f"{step:.3g}" if know else "?" for step, know in zip(steps, known, strict=True))
    return f"{' x '.join(texts)} mm"


@torch.inference_mode()
def segment(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    task: TaskConfig,
    sample_shape: tuple[int, ...],
    device: str = "cpu",
    *,
    spacing: Spacing = (np.nan,) * 3,
) -> npt.NDArray[np.uint8]:
    """Return the class indices, (slices, y, x), of an image whose intensities are prepared.

    The computation is that of validation: if the task resizes or resamples images, the logits are
    brought back to the grid of the image. If it does not resize them, a window of the training size
    slides over the image, which is padded if it is smaller.

    Args:
        network: in eval mode.
        image: (slices, channels, y, x).
        task: what a sample is.
        sample_shape: (channels, *spatial) of the training samples.
        device: the device of the network.
        spacing: of the image, mm along slices, rows and columns; nan where unknown.

    Raises:
        DataError: the task resamples images, and the spacing is unknown.
    """
    grid, resampling = (len(image), *image.shape[2:]), None
    if task.target_spacing:
        resampling = resampling_to(grid, spacing, task.target_spacing)
        image = resampling.image(image)
    work = torch.from_numpy(image)
    if task.resized:
        work = fitted_image(work, task.sides, task.fit)
    window = sample_shape[1:]
    whole = whole_image(
        work, sampling_of(task), window, grid=grid, resized=task.resized, resampling=resampling
    )
    logits = whole.restore(window_logits(network, whole.samples, window, device, "cpu"))
    found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    return found.byte().cpu().numpy()


@torch.inference_mode()
def _classify(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    task: TaskConfig,
    sample_shape: tuple[int, ...],
    device: str,
) -> Prediction:
    if image.shape[1:] != sample_shape:
        raise DataError(
            f"an image must have the shape {sample_shape} (channels, y, x) of the training, got "
            f"{image.shape[1:]}; resize it"
        )
    shares = network(torch.from_numpy(image).to(device)).softmax(1).mean(0)
    best = int(shares.argmax())
    return Prediction(label=(task.classes or ())[best], probability=float(shares[best]))


def _on_grid_of(image: Volume, mask: npt.NDArray[np.uint8]) -> Volume:
    """Return a mask, (z, y, x), as a volume on the grid of an image, without channels."""
    if image.kinds and image.kinds[0] == "vector":
        image = without_channels(image)
    return replace(image, array=mask.reshape(image.array.shape))
