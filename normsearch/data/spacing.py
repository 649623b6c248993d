"""Spacings of resized images, and their comparison with those of the training cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

Spacing = tuple[float, float, float]

#: Relative tolerance of an image's prepared spacing compared with the training cases.
TOLERANCE = 0.25


def resized_spacing(spacing: Spacing, old: Sequence[int], new: Sequence[int]) -> Spacing:
    """Return the spacing of an image of shape `old` (z, y, x) after resizing to `new`.

    The field of view does not change, so images with a larger field of view get larger voxels.
    """
    z, y, x = (step * before / after for step, before, after in zip(spacing, old, new, strict=True))
    return z, y, x


def within(step: float, least: float | None, greatest: float | None, unknown: int) -> bool:
    """Return whether a spacing along one axis is within tolerance of the training cases.

    Args:
        step: in mm; nan if unknown.
        least: the smallest of the training cases in mm, None if none is known.
        greatest: the largest one.
        unknown: the number of training cases with unknown spacing.
    """
    if math.isnan(step):
        return unknown > 0
    if least is None or greatest is None:
        return False
    return least * (1 - TOLERANCE) <= step <= greatest * (1 + TOLERANCE)
