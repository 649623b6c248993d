"""Random changes of samples; the number of a sample determines its changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.data.foreign_transforms import apply_foreign, build_foreign
from normsearch.data.random_geometry import draw_geometry, move
from normsearch.data.random_intensity import change_intensity
from normsearch.data.random_transforms import AXES, Transform
from normsearch.errors import DataError
from normsearch.limits import check_seed


@dataclass(frozen=True)
class Augmentation:
    """Random changes of samples; those of a sample depend only on `seed` and its number.

    Attributes:
        rotation: (lowest, highest, step) in degrees: slices are rotated about their centre by an
            angle drawn from this grid (the ILN paper, seed 001: (-60, 60, 2)).
        flip: axes (z, y, x), each flipped with probability 0.5.
        scale: (lowest, highest) factor of the intensities, drawn uniformly.
        transforms: further changes, after those. Transforms that move voxels act first, as one
            resampling; then the others in order. A text is a transform with its defaults.
        seed: 0 to 2**32 - 1.
        slices: slices of a stack, which are channels and change alike; 1 otherwise.
        in_plane: whether `transforms` change the slices of a 3D sample alike, each in its plane.

    Raises:
        DataError: an invalid range or an unknown axis.
        ConfigError: a transform does not exist, or its arguments do not fit.
    """

    rotation: tuple[float, float, float] | None = None
    flip: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    transforms: tuple[str | Transform, ...] = ()
    seed: int = 0
    slices: int = 1
    in_plane: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.rotation and not (self.rotation[0] <= self.rotation[1] and self.rotation[2] > 0):
            raise DataError(
                f"rotation must be lowest, highest and step in degrees, got {self.rotation}"
            )
        if self.scale and not 0 < self.scale[0] <= self.scale[1]:
            raise DataError(f"scale must be lowest and highest factor above 0, got {self.scale}")
        if set(self.flip) - set(AXES):
            raise DataError(f"flip must be axes among {', '.join(AXES)}, got {self.flip}")
        for transform in self._transforms:
            if transform.foreign:
                build_foreign(transform)

    @property
    def _transforms(self) -> list[Transform]:
        return [Transform(one) if isinstance(one, str) else one for one in self.transforms]

    @property
    def varies(self) -> bool:
        """Whether any change is configured."""
        return bool(self.rotation or self.flip or self.scale or self.transforms)

    def __call__(
        self, images: Tensor, labels: Tensor, numbers: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return a batch with each sample changed.

        Args:
            images: float32, (B, channels, *spatial), two or three spatial axes.
            labels: uint8, (B, *spatial), changed alike (nearest); or (B,), unchanged.
            numbers: the number of each sample, counted over the whole training.
        """
        drawn = [self._draw(number) for number in numbers]
        images = images * _column([scale for _, _, scale in drawn], images.ndim)
        for place in range(len(AXES)):
            chosen = torch.tensor([place in flips for _, flips, _ in drawn])
            if chosen.any():
                along = place - 3
                images = torch.where(_like(chosen, images), images.flip(along), images)
                if labels.ndim > 1:
                    labels = torch.where(_like(chosen, labels), labels.flip(along), labels)
        angles = [angle for angle, _, _ in drawn]
        if any(angles):
            images = rotate(images, angles)
            labels = rotate_labels(labels, angles) if labels.ndim > 1 else labels
        if transforms := self._transforms:
            pairs = [
                self._transformed(*one, transforms)
                for one in zip(images, labels, numbers, strict=True)
            ]
            images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
        return images, labels

    def _transformed(
        self, image: Tensor, label: Tensor, number: int, transforms: Sequence[Transform]
    ) -> tuple[Tensor, Tensor]:
        """Return a sample (channels, *spatial) and its label, changed by the transforms."""
        random = np.random.default_rng((self.seed, number, 1))
        dims = 2 if self.in_plane else image.ndim - 1
        moving = [transform for transform in transforms if transform.moves]
        if moving:
            geometry = draw_geometry(moving, dims, random)
            marks = label[None] if label.ndim == dims else label
            opened, marks = move(self._open(image), marks, geometry, dims)
            image, label = self._close(opened), marks.reshape(label.shape)
        for transform in transforms:
            if transform.foreign:
                image, label = apply_foreign(transform, image, label, random)
            elif not transform.moves:
                image = self._close(change_intensity(self._open(image), transform, random))
        return image, label

    def _open(self, image: Tensor) -> Tensor:
        """Return an image as (channels, slices, *axes), where all slices change alike."""
        if image.ndim == 4:
            return image if self.in_plane else image[:, None]
        return image.reshape(self.slices, -1, *image.shape[1:]).transpose(0, 1)

    def _close(self, image: Tensor) -> Tensor:
        """Return an opened image as (channels, *spatial)."""
        if image.ndim == 5:
            return image[:, 0]
        return image if self.in_plane else image.transpose(0, 1).flatten(0, 1)

    def _draw(self, number: int) -> tuple[float, frozenset[int], float]:
        random = np.random.default_rng((self.seed, number))
        angle, scale = 0.0, 1.0
        if self.rotation:
            low, high, step = self.rotation
            steps = math.floor((high - low) / step + 1e-9)
            angle = low + step * int(random.integers(steps + 1))
        flips = frozenset(AXES.index(axis) for axis in self.flip if random.random() < 0.5)
        if self.scale:
            scale = float(random.uniform(*self.scale))
        return angle, flips, scale


def rotate(images: Tensor, angles: Sequence[float]) -> Tensor:
    """Rotate each sample's slices by its angle in degrees, counter-clockwise, about their centre.

    `images` are float, (B, channels, *spatial). Values are interpolated linearly; outside the image
    they are the minimum of the sample and channel.
    """
    floor = images.flatten(2).amin(2).reshape(*images.shape[:2], *[1] * (images.ndim - 2))
    return _turned(images - floor, angles, "bilinear") + floor


def rotate_labels(labels: Tensor, angles: Sequence[float]) -> Tensor:
    """Rotate labels as `rotate` does images, with nearest-neighbour interpolation and 0 outside.

    `labels` are uint8, (B, *spatial).
    """
    return _turned(labels[:, None].float(), angles, "nearest")[:, 0].to(labels.dtype)


def _turned(images: Tensor, angles: Sequence[float], mode: str) -> Tensor:
    height, width = images.shape[-2:]
    slices = images.reshape(len(images), -1, height, width)
    radians = torch.tensor(angles, dtype=torch.float64).deg2rad()
    cos, sin = radians.cos(), radians.sin()
    nought = torch.zeros_like(cos)
    # The axes of affine_grid always run from -1 to 1, so the ratio of the sides is needed.
    rows = [cos, -sin * height / width, nought, sin * width / height, cos, nought]
    matrices = torch.stack(rows, 1).reshape(-1, 2, 3).float()
    grid = functional.affine_grid(matrices, list(slices.shape), align_corners=False)
    turned = functional.grid_sample(slices, grid, mode=mode, align_corners=False)
    return turned.reshape(images.shape)


def _column(values: Sequence[float], axes: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (axes - 1))


def _like(chosen: Tensor, batch: Tensor) -> Tensor:
    return chosen.reshape(-1, *[1] * (batch.ndim - 1))
