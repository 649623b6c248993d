"""Normalizes the intensities of images and changes their sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import DataError
from normsearch.networks.importing import load

Array = npt.NDArray[Any]
Intensity = str | tuple[float, float]


def normalized(channel: Array, intensity: Intensity) -> npt.NDArray[np.float32]:
    """Return the normalized intensities of one channel.

    Args:
        channel: (z, y, x).
        intensity: a name in `INTENSITIES`, a window (low, high), or ``module:name``, a function
            from the channel as float64 to its normalized values.

    Raises:
        DataError: the function returns another shape, or values that are not finite.
    """
    values = channel.astype(np.float64)  # sums of large float32 volumes drift
    if not isinstance(intensity, str):
        scaled = _window(values, *intensity)
    elif intensity in INTENSITIES:
        scaled = INTENSITIES[intensity](values)
    else:
        scaled = np.asarray(load(intensity, "task.intensity")(values))
        if scaled.shape != values.shape or not np.isfinite(scaled).all():
            raise DataError(
                f"task.intensity: {intensity} must return finite values in the shape "
                f"{values.shape} that it was given, got shape {scaled.shape}"
            )
    return scaled.astype(np.float32)


def normalized_image(image: Array, intensity: Intensity) -> npt.NDArray[np.float32]:
    """Return (channels, z, y, x) as (slices, channels, y, x); each channel is normalized alone."""
    return np.stack([normalized(channel, intensity) for channel in image], axis=1)


def _window(values: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip((values - low) / ((high - low) or 1), 0, 1))


def _zscore(values: Array) -> Array:
    return np.asarray((values - values.mean()) / (values.std() or 1))


INTENSITIES: dict[str, Callable[[Array], Array]] = {
    "minmax": lambda values: _window(values, values.min(), values.max()),
    "percentile": lambda values: _window(values, *np.percentile(values, (0.5, 99.5))),
    "zscore": _zscore,
}


def resize(image: Tensor, label: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return a resized image (linear, antialiased) and label (nearest).

    Args:
        image: float32, (slices, channels, y, x).
        label: uint8, (slices, y, x).
        size: (y, x), or (slices, y, x).
    """
    depth, in_plane = _full(size, len(image))
    target = functional.interpolate(label[None, None], (depth, *in_plane), mode="nearest-exact")
    return resize_image(image, size), target[0, 0]


def resize_image(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return a resized image, or logits (linear, antialiased); see `resize`."""
    slices, channels = image.shape[:2]
    depth, in_plane = _full(size, slices)
    if in_plane != tuple(image.shape[2:]):
        image = functional.interpolate(image, in_plane, mode="bilinear", antialias=True)
    if depth != slices:  # along the slices, as an image of width y·x
        flat = image.transpose(0, 1).reshape(1, channels, slices, -1)
        flat = functional.interpolate(
            flat, (depth, flat.shape[-1]), mode="bilinear", antialias=True
        )
        image = flat.reshape(channels, depth, *in_plane).transpose(0, 1).contiguous()
    return image


def pad(image: Tensor, label: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return image and label cropped and padded to a size around the centre.

    The image is padded with the minimum of each channel, the label with background. If an odd
    number of voxels is added or removed, the far end gets one more. Arguments as for `resize`.
    """
    return pad_image(image, size), functional.pad(label, _margins(label.shape, size))


def pad_image(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return an image cropped and padded to a size around the centre; see `pad`."""
    floor = image.amin((0, 2, 3))[:, None, None, None]
    shape = (len(image), *image.shape[2:])
    moved = functional.pad(image.transpose(0, 1) - floor, _margins(shape, size)) + floor
    return moved.transpose(0, 1).contiguous()


def _margins(shape: Sequence[int], size: Sequence[int]) -> list[int]:
    """Return the padding at both ends of x, y and the slices, negative for cropping."""
    depth, in_plane = _full(size, shape[0])
    more = [new - old for new, old in zip((depth, *in_plane), shape, strict=True)]
    return [side for by in reversed(more) for side in (int(by / 2), by - int(by / 2))]


FITS: dict[str, Callable[[Tensor, Tensor, Sequence[int]], tuple[Tensor, Tensor]]] = {
    "resize": resize,
    "pad": pad,
}


def fitted(
    image: Tensor, label: Tensor, size: Sequence[int], fit: str = "resize"
) -> tuple[Tensor, Tensor]:
    """Return image and label at another size.

    Args:
        image: float32, (slices, channels, y, x).
        label: uint8, (slices, y, x).
        size: (y, x), or (slices, y, x).
        fit: a name in `FITS`, or ``module:name``, a function of image, label and size that
            resamples the two and keeps the field of view, as `resize` does.

    Raises:
        DataError: the function returns other shapes.
    """
    if fit in FITS:
        return FITS[fit](image, label, size)
    new, target = load(fit, "task.fit")(image, label, size)
    depth, in_plane = _full(size, len(image))
    shapes = (depth, image.shape[1], *in_plane), (depth, *in_plane)
    if (tuple(new.shape), tuple(target.shape)) != shapes:
        raise DataError(
            f"task.fit: {fit} must return image and label of the shapes {shapes[0]} and "
            f"{shapes[1]}, got {tuple(new.shape)} and {tuple(target.shape)}"
        )
    return new.to(image.dtype), target.to(label.dtype)


def fitted_image(image: Tensor, size: Sequence[int], fit: str = "resize") -> Tensor:
    """Return an image without a label at another size; see `fitted`."""
    label = torch.zeros((len(image), *image.shape[2:]), dtype=torch.uint8)
    return fitted(image, label, size, fit)[0]


def _full(size: Sequence[int], slices: int) -> tuple[int, tuple[int, int]]:
    return (size[0] if len(size) == 3 else slices), (size[-2], size[-1])


def to_tensors(image: Array, label: Array) -> tuple[Tensor, Tensor]:
    """Return (channels, z, y, x) and (z, y, x) arrays as (z, channels, y, x) and (z, y, x)."""
    moved = np.ascontiguousarray(image.transpose(1, 0, 2, 3))
    return torch.from_numpy(moved), torch.from_numpy(label)
