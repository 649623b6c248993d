"""Random changes of intensities: noise, blur, brightness, contrast, gamma, resolution, cut-outs.

Each function takes one channel, float32 (slices, *axes), the (lowest, highest) value to draw and
the sample's generator, and returns a new tensor of the same shape. All slices of a channel change
alike, except for noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.data.random_transforms import Transform

Between = tuple[float, float]
Intensity = Callable[[Tensor, Between, np.random.Generator], Tensor]
_LEAST = 1e-7  # span or standard deviation of a channel, as in nnU-Net


def change_intensity(image: Tensor, transform: Transform, random: np.random.Generator) -> Tensor:
    """Return an image with each channel changed, or the given one if nothing is drawn.

    Args:
        image: float32, (channels, slices, *axes).
        transform: a named one that moves no voxels.
        random: the sample's generator.
    """
    if random.random() >= transform.chance:
        return image
    if transform.name == "cutout":  # the same box in all channels
        return cutout(image, transform.between, random)
    change, chance = INTENSITIES[transform.name], transform.channel_chance
    chosen = [chance >= 1 or random.random() < chance for _ in image]
    if not any(chosen):
        return image
    return torch.stack([
        change(channel, transform.between, random) if own else channel
        for channel, own in zip(image, chosen, strict=True)
    ])  # fmt: skip


def factor(between: Between, random: np.random.Generator) -> float:
    """Return a factor that is below 1 as often as above it, if the range holds 1 (as nnU-Net)."""
    low, high = between
    if low < 1 < high:
        low, high = (low, 1.0) if random.random() < 0.5 else (1.0, high)
    return float(random.uniform(low, high))


def noise(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Add Gaussian noise of a share of the channel's standard deviation."""
    strength = random.uniform(*between) * float(image.std(correction=0))
    return image + strength * torch.from_numpy(random.standard_normal(image.shape, np.float32))


def blur(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Convolve with a Gaussian, mirrored at the border."""
    from scipy.ndimage import gaussian_filter

    sigmas = random.uniform(*between, size=image.ndim - 1)
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, *sigmas)))


def brightness(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Multiply by a factor."""
    return image * factor(between, random)


def contrast(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Multiply the distance from the mean by a factor, within the extremes of the channel."""
    mean, (low, high) = image.mean(), image.aminmax()
    return ((image - mean) * factor(between, random) + mean).clamp(low, high)


def gamma(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Raise intensities, brought to 0 to 1, to a power; keep mean and standard deviation."""
    low, high = image.aminmax()
    bent = ((image - low) / (high - low).clamp(min=_LEAST)) ** factor(between, random)
    scale = image.std(correction=0) / bent.std(correction=0).clamp(min=_LEAST)
    return (bent - bent.mean()) * scale + image.mean()


def inverted_gamma(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Apply `gamma` to the negative image."""
    return -gamma(-image, between, random)


def low_resolution(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Sample at the nearest voxels of a coarser grid, and interpolate back linearly."""
    share, sides = random.uniform(*between), image.shape[1:]
    coarse = [max(1, round(side * share)) for side in sides]
    small = functional.interpolate(image[:, None], coarse, mode="nearest-exact")
    mode = "trilinear" if len(sides) == 3 else "bilinear"
    return functional.interpolate(small, sides, mode=mode)[:, 0]


def cutout(image: Tensor, between: Between, random: np.random.Generator) -> Tensor:
    """Replace a box of an image (channels, slices, *axes) by the mean of each channel."""
    box: list[slice] = []
    for side in image.shape[2:]:
        length = round(side * random.uniform(*between))
        start = int(random.integers(side - length + 1))
        box.append(slice(start, start + length))
    changed = image.clone()
    means = image.flatten(1).mean(1).reshape(-1, *[1] * (image.ndim - 1))
    changed[(slice(None), slice(None), *box)] = means
    return changed


#: Name -> function that changes a channel.
INTENSITIES: dict[str, Intensity] = {
    "noise": noise,
    "blur": blur,
    "brightness": brightness,
    "contrast": contrast,
    "gamma": gamma,
    "inverted_gamma": inverted_gamma,
    "low_resolution": low_resolution,
}
