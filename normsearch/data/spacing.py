"""Spacings of prepared images: what resizing makes of them, and how those of two images compare."""

from __future__ import annotations

import math
from collections.abc import Sequence

Spacing = tuple[float, float, float]

#: By what share an image's prepared spacing may lie outside that of the training cases.
TOLERANCE = 0.25


def resized_spacing(spacing: Spacing, old: Sequence[int], new: Sequence[int]) -> Spacing:
    """Return the spacing of an image of shape `old` (z, y, x) that is resized to `new`.

    The field of view stays: of images resized to one size, those of a larger field of view have
    larger voxels.
    """
    z, y, x = (step * before / after for step, before, after in zip(spacing, old, new, strict=True))
    return z, y, x


def within(step: float, least: float | None, greatest: float | None, unknown: int) -> bool:
    """Return whether a spacing is like that of the training cases along one axis.

    Args:
        step: mm; nan where unknown.
        least: of the training cases in mm, None where none is known.
        greatest: likewise.
        unknown: the number of training cases whose spacing along it is not known.
    """
    if math.isnan(step):
        return unknown > 0
    if least is None or greatest is None:
        return False
    return least * (1 - TOLERANCE) <= step <= greatest * (1 + TOLERANCE)
