"""Spacings: of resized images, of resampled ones, and compared with those of training cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Spacing = tuple[float, float, float]

#: Relative tolerance of an image's prepared spacing compared with the training cases.
TOLERANCE = 0.25

#: A spacing is anisotropic if its largest step is more than this many times another one (nnU-Net).
ANISOTROPIC = 3.0


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


def unknown_axes(spacing: Sequence[float], target: Sequence[float]) -> list[str]:
    """Return the names of the axes of a target spacing along which a spacing is unknown.

    Args:
        spacing: mm along slices, rows and columns; nan where unknown.
        target: mm along them, or along rows and columns.

    >>> unknown_axes((math.nan, 1.0, math.nan), (1.0, 1.0))
    ['columns']
    """
    names = ("slices", "rows", "columns")[-len(target) :]
    steps = spacing[-len(target) :]
    return [name for name, step in zip(names, steps, strict=True) if not math.isfinite(step)]


def coarse_axis(*spacings: Sequence[float]) -> int | None:
    """Return the axis that is resampled apart, None if there is none.

    The first of the spacings that is anisotropic decides, by its coarsest axis. If two axes are the
    coarsest, none is resampled apart. The rule is that of nnU-Net v2 (`get_do_separate_z`).

    Args:
        spacings: mm along slices, rows and columns; an unknown one (nan) is left out.

    >>> coarse_axis((1.0, 1.0, 1.0), (1.0, 5.0, 1.5)), coarse_axis((0.2, 1.0, 1.0))
    (1, None)
    """
    for spacing in spacings:
        known = [step for step in spacing if math.isfinite(step)]
        if known and max(known) > ANISOTROPIC * min(known):
            axes = [axis for axis, step in enumerate(spacing) if step == max(known)]
            return axes[0] if len(axes) == 1 else None
    return None


def median_spacing(
    spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Return the target spacing of a data set in mm, by the rule of nnU-Net v2.

    It is the median along each axis. If the median is more than `ANISOTROPIC` times as coarse along
    one axis as along each other one, and images have fewer voxels along it by the same factor, that
    axis gets the 10th percentile, but no less than the coarsest of the others
    (`ExperimentPlanner.determine_fullres_target_spacing`).

    Args:
        spacings: of each case, in mm along two or three axes.
        shapes: of each case, voxels along these axes.

    >>> median_spacing([(5, 1, 1), (10, 1, 1), (10, 1, 1)], [(9, 99, 99)] * 3)
    (6.0, 1.0, 1.0)
    """
    steps, sides = np.array(spacings, np.float64), np.median(np.array(shapes), axis=0)
    target = np.median(steps, axis=0)
    worst = int(target.argmax())
    others = [axis for axis in range(len(target)) if axis != worst]
    coarsest = target[others].max()
    if target[worst] > ANISOTROPIC * coarsest and sides[worst] * ANISOTROPIC < sides[others].min():
        fine = np.percentile(steps[:, worst], 10)
        target[worst] = fine if fine >= coarsest else coarsest + 1e-5
    return tuple(float(step) for step in target)


def spacing_text(spacing: Sequence[float]) -> str:
    """Return a spacing for a message.

    >>> spacing_text((3, 0.70000001, 1))
    '3.0 x 0.7 x 1.0 mm'
    """
    return f"{' x '.join(str(float(f'{step:.4g}')) for step in spacing)} mm"
