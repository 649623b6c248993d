"""Masks for images that a network has not seen, on each image's own grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from normsearch.config import TaskConfig
from normsearch.data import Case, Volume, read_volume
from normsearch.data.checks import channels_of, check_image
from normsearch.data.faults import refuse
from normsearch.data.samples import inputs
from normsearch.data.transforms import normalized_image, resize
from normsearch.errors import DataError
from normsearch.task import sampling_of

_PIXELS_AT_ONCE = 2**21  # in one forward pass: 32 slices of 256 x 256, or two slabs of 16 of them
_OVERLAP = 0.5  # of neighbouring windows along each axis


@dataclass(frozen=True)
class Prediction:
    """What was found in one image.

    Attributes:
        mask: the label values on the image's grid; None for a classification.
        label: the image's class, None for a segmentation.
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
) -> Prediction:
    """Read one case's image, one file or one for each channel, and predict it.

    Args:
        network: in eval mode, trained on `task`.
        paths: the image's files.
        task: how images are prepared, and what the classes mean.
        sample_shape: (channels, *spatial) of the samples that it was trained on.
        device: where it lies.

    Raises:
        DataError: a file cannot be read, or the channels are not those of the training.
    """
    volumes = [read_volume(path) for path in paths]
    channels = [channels_of(volume) for volume in volumes]
    faults = []
    for path, volume, array in zip(paths, volumes, channels, strict=True):
        faults += list(check_image(path.name, path, volume, array))
    refuse(paths[0].parent, faults)
    if any(array.shape[1:] != channels[0].shape[1:] for array in channels):
        raise DataError(
            f"{paths[0]}: the files of one image must have one shape, got "
            f"{', '.join(str(array.shape[1:]) for array in channels)}; put them on one grid"
        )
    image = np.concatenate(channels)
    expected = sample_shape[0] // (task.slices if task.sample == "stack" else 1)
    if len(image) != expected:
        raise DataError(
            f"{paths[0]}: must have the {expected} channels that the network was trained on, got "
            f"{len(image)}; give one file for each, separated by commas"
        )
    prepared = normalized_image(image, task.intensity)
    if task.kind == "classification":
        return _classify(network, prepared, task, sample_shape, device)
    found = segment(network, prepared, task, sample_shape, device)
    values = np.array([0, *(task.classes or (1,))], np.uint8)
    return Prediction(mask=_like(volumes[0], values[found]))


@torch.inference_mode()
def segment(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    task: TaskConfig,
    sample_shape: tuple[int, ...],
    device: str = "cpu",
) -> npt.NDArray[np.uint8]:
    """Return the class indices, (slices, y, x), of an image whose intensities are prepared.

    A task that resizes its images has this one resized, and the logits resized back. Else the
    network slides over it in windows of the size it was trained on, half overlapping, blended by
    MONAI with Gaussian weights; an image below that size is padded.

    Args:
        network: in eval mode.
        image: (slices, channels, y, x).
        task: what one sample is.
        sample_shape: (channels, *spatial) of the samples that it was trained on.
        device: where it lies.
    """
    work, own = torch.from_numpy(image), image.shape
    nothing = torch.zeros(own[0], *own[2:], dtype=torch.uint8)
    resized = task.fit == "resize" and task.size is not None
    if resized:
        work, nothing = resize(work, nothing, task.size or ())
    sampling = sampling_of(task)
    case = Case("", "", "", work.numpy(), nothing.numpy(), (1.0, 1.0, 1.0))
    samples = inputs(sampling, case)
    logits = sampling.recompose(_in_windows(network, samples, sample_shape[1:], device), len(work))
    if resized:
        logits, _ = resize(
            logits, nothing, (own[0], *own[2:]) if len(task.size or ()) == 3 else own[2:]
        )
    found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    return found.byte().numpy()


def _in_windows(
    network: nn.Module, samples: Tensor, window: tuple[int, ...], device: str
) -> Tensor:
    """Logits (samples, K, *spatial) in float32 on the CPU."""
    from monai.inferers.utils import sliding_window_inference

    at_once = max(1, _PIXELS_AT_ONCE // int(np.prod(window)))
    parts = []
    for batch in torch.split(samples, at_once):
        if samples.shape[2:] == window:
            out = network(batch.to(device))
        else:
            out = sliding_window_inference(
                batch, window, at_once, network, _OVERLAP, mode="gaussian",
                sw_device=device, device="cpu",
            )  # fmt: skip
        parts.append(out.float().cpu())
    return torch.cat(parts)


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


def _like(image: Volume, mask: npt.NDArray[np.uint8]) -> Volume:
    """The mask, (z, y, x), on the grid of an image, whose channel axis it has not."""
    if image.kinds and image.kinds[0] == "vector":
        directions = None if image.directions is None else image.directions[1:]
        image = replace(
            image, array=image.array[0], spacing=image.spacing[1:], directions=directions,
            kinds=image.kinds[1:],
        )  # fmt: skip
    return replace(image, array=mask.reshape(image.array.shape))
