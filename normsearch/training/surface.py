"""HD95 and surface Dice of a case; missed cases get the worst value."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from normsearch.errors import DataError

Mask = npt.NDArray[np.bool_]


class SurfaceScores(NamedTuple):
    """`hd95` in the unit of the spacing (0 is best), and `surface_dice` from 0 to 1.

    `missed` is True if exactly one mask is empty.
    """

    hd95: float
    surface_dice: float
    missed: bool


def surface_scores(
    prediction: Mask, truth: Mask, spacing: tuple[float, ...], tolerance: float = 2.0
) -> SurfaceScores:
    """Return the 95th percentile Hausdorff distance and the surface Dice of two masks.

    MONAI gives NaN if one mask is empty, so that means leave the case out. Here such a case counts
    as missed: HD95 is the image's diagonal and the surface Dice 0. For two empty masks both are
    NaN.

    Args:
        prediction: (z, y, x) or (y, x).
        truth: of the same shape.
        spacing: mm per voxel, one per axis; 1 per axis gives distances in pixels.
        tolerance: distance within which two surfaces count as the same (Nikolov et al. 2021).

    Raises:
        DataError: shapes differ, or a spacing is unknown.
    """
    surface = surface_dice(prediction, truth, spacing, tolerance)
    if not prediction.any() and not truth.any():
        return SurfaceScores(math.nan, surface, False)
    if not prediction.any() or not truth.any():
        sides = (size * step for size, step in zip(truth.shape, spacing, strict=True))
        return SurfaceScores(math.hypot(*sides), surface, True)
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    hd95 = _by_monai(
        compute_hausdorff_distance, prediction, truth, True, percentile=95, spacing=spacing
    )
    return SurfaceScores(hd95, surface, False)


def surface_dice(
    prediction: Mask, truth: Mask, spacing: tuple[float, ...], tolerance: float = 2.0
) -> float:
    """Return the surface Dice of two masks, from 0 to 1; see `surface_scores`.

    It is 0 if exactly one mask is empty, and NaN if both are.
    """
    if prediction.shape != truth.shape or len(spacing) != truth.ndim:
        raise DataError(
            "prediction, truth and spacing must fit one another, got "
            f"{prediction.shape}, {truth.shape} and {spacing}"
        )
    if not all(step > 0 and math.isfinite(step) for step in spacing):
        raise DataError(f"distances need a spacing above 0 per axis, got {spacing}")
    if not prediction.any() or not truth.any():
        return 0.0 if prediction.any() or truth.any() else math.nan
    from monai.metrics.surface_dice import compute_surface_dice

    return _by_monai(compute_surface_dice, prediction, truth, [tolerance], True, spacing=spacing)


def measured_spacing(
    spacing: tuple[float, ...], *, flat: bool = False
) -> tuple[tuple[float, ...], str]:
    """Return the spacing for measuring distances in a case, and its unit.

    Args:
        spacing: mm per voxel along z, y, x; NaN if unknown.
        flat: whether the case is a single slice, which is measured in its plane.
    """
    steps = tuple(spacing[1:]) if flat else tuple(spacing)
    known = all(math.isfinite(step) for step in steps)
    return (steps, "mm") if known else ((1.0,) * len(steps), "pixels")


def _by_monai(
    measure: Any, prediction: Mask, truth: Mask, *args: Any, spacing: tuple[float, ...], **more: Any
) -> float:
    found, true = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns about its own calls
        return float(measure(found, true, *args, spacing=list(spacing), **more))
