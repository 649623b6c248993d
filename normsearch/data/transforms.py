"""Normalizes the intensities of images and changes their sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import DataError
from normsearch.networks.importing import load, users_code

Array = npt.NDArray[Any]
Intensity = str | tuple[float, float]
Foreground = tuple[float, float, float, float]
"""The 0.5th and the 99.5th percentile, the mean and the deviation of the foreground's values."""


def normalized(
    channel: Array,
    intensity: Intensity,
    *,
    body: Array | None = None,
    foreground: Foreground | None = None,
) -> npt.NDArray[np.float32]:
    """Return the normalized intensities of one channel.

    Args:
        channel: (z, y, x).
        intensity: one of `INTENSITY_RULES`, a window (low, high), or ``module:name``, a function
            from the channel as float64 to its normalized values.
        body: bool, (z, y, x), for ``zscore_body``; that of the channel alone if None.
        foreground: of this channel in the training cases, for ``ct``.

    Raises:
        DataError: the function returns another shape, or values that are not finite; or ``ct`` has
            no `foreground`.
    """
    values = channel.astype(np.float64)  # sums of large float32 volumes drift
    if not isinstance(intensity, str):
        scaled = _window(values, *intensity)
    elif intensity == "zscore_body":
        scaled = _zscore_body(values, body_of(channel[None]) if body is None else body)
    elif intensity == "ct":
        scaled = _ct(values, foreground)
    elif intensity in INTENSITIES:
        scaled = INTENSITIES[intensity](values)
    else:
        with users_code(f"task.intensity: {intensity} must accept a channel's values, and raises"):
            scaled = np.asarray(load(intensity, "task.intensity")(values))
        finite = scaled.dtype.kind in "biuf" and np.isfinite(scaled).all()
        if scaled.shape != values.shape or not finite:
            raise DataError(
                f"task.intensity: {intensity} must return finite values in the shape "
                f"{values.shape} that it was given, got shape {scaled.shape}"
            )
    return scaled.astype(np.float32)


def normalized_image(
    image: Array, intensity: Intensity, foreground: Sequence[Foreground] = ()
) -> npt.NDArray[np.float32]:
    """Return (channels, z, y, x) as (slices, channels, y, x); each channel is normalized alone.

    Args:
        image: (channels, z, y, x).
        intensity: see `normalized`.
        foreground: of each channel in the training cases, for ``ct``.

    Raises:
        DataError: see `normalized`; or `foreground` is of another number of channels.
    """
    if intensity == "ct" and len(foreground) != len(image):
        raise DataError(
            f"task.foreground_intensities: must be of each of the {len(image)} channels of an "
            f"image, got {len(foreground)}; leave the key out, and a study measures them"
        )
    body = body_of(image) if intensity == "zscore_body" else None
    own = foreground or (None,) * len(image)
    pairs = zip(image, own, strict=True)
    channels = (normalized(one, intensity, body=body, foreground=row) for one, row in pairs)
    return np.stack(list(channels), axis=1)


def body_of(image: Array) -> npt.NDArray[np.bool_]:
    """Return the voxels (z, y, x) of the body: not 0 in a channel, or in a hole between such.

    This is nnU-Net's nonzero region. It is the whole image where no voxel is 0, as in CT.
    """
    return np.asarray(scipy.ndimage.binary_fill_holes((image != 0).any(0)))


def _window(values: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip((values - low) / ((high - low) or 1), 0, 1))


def _zscore(values: Array) -> Array:
    return np.asarray((values - values.mean()) / (values.std() or 1))


def _zscore_body(values: Array, body: Array) -> Array:
    scaled = np.zeros_like(values)
    if body.any():
        scaled[body] = _zscore(values[body])
    return scaled


def _ct(values: Array, foreground: Foreground | None) -> Array:
    if foreground is None:
        raise DataError("task.intensity: ct must have foreground_intensities, and has none")
    low, high, mean, deviation = foreground
    return np.asarray((np.clip(values, low, high) - mean) / (deviation or 1))


INTENSITIES: dict[str, Callable[[Array], Array]] = {
    "minmax": lambda values: _window(values, values.min(), values.max()),
    "percentile": lambda values: _window(values, *np.percentile(values, (0.5, 99.5))),
    "zscore": _zscore,
}
INTENSITY_RULES = (*INTENSITIES, "zscore_body", "ct")
"""The names of the rules; those that are not in `INTENSITIES` need more than one channel's values:
the body, or the foreground of the training cases."""


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
    with users_code(f"task.fit: {fit} must resample image and label to a size, and raises"):
        new, target = load(fit, "task.fit")(image, label, size)
        found = tuple(new.shape), tuple(target.shape)
    depth, in_plane = _full(size, len(image))
    shapes = (depth, image.shape[1], *in_plane), (depth, *in_plane)
    if found != shapes:
        raise DataError(
            f"task.fit: {fit} must return image and label of the shapes {shapes[0]} and "
            f"{shapes[1]}, got {found[0]} and {found[1]}"
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
