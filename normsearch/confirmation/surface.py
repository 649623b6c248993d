"""HD95 and surface Dice of one case, where a missed case makes the figure worse."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from normsearch.errors import DataError

Mask = npt.NDArray[np.bool_]


class SurfaceScores(NamedTuple):
    """`hd95` in the unit of the spacing (0 is best); `surface_dice` from 0 to 1.

    `missed`: one mask alone is empty.
    """

    hd95: float
    surface_dice: float
    missed: bool


def surface_scores(
    prediction: Mask, truth: Mask, spacing: tuple[float, ...], tolerance: float = 2.0
) -> SurfaceScores:
    """Return the 95th percentile Hausdorff distance and the surface Dice of two masks.

    MONAI leaves a case out of the mean where one mask is empty (its HD95 is NaN there). Here such a
    case counts as missed: HD95 is the image's diagonal and the surface Dice 0. Two empty masks have
    neither: NaN.

    Args:
        prediction: (z, y, x) or (y, x).
        truth: of the same shape.
        spacing: mm per voxel, one per axis; 1 per axis gives distances in pixels.
        tolerance: distance within which two surfaces count as the same (Nikolov et al. 2021).

    Raises:
        DataError: shapes differ, or a spacing is not known.
    """
    if prediction.shape != truth.shape or len(spacing) != truth.ndim:
        raise DataError(
            "prediction, truth and spacing must fit one another, got "
            f"{prediction.shape}, {truth.shape} and {spacing}"
        )
    if not all(step > 0 and math.isfinite(step) for step in spacing):
        raise DataError(f"distances need a spacing above 0 per axis, got {spacing}")
    if not prediction.any() and not truth.any():
        return SurfaceScores(math.nan, math.nan, False)
    if not prediction.any() or not truth.any():
        sides = (size * step for size, step in zip(truth.shape, spacing, strict=True))
        return SurfaceScores(math.hypot(*sides), 0.0, True)
    return SurfaceScores(*_by_monai(prediction, truth, spacing, tolerance), False)


def _by_monai(
    prediction: Mask, truth: Mask, spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float]:
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice

    found, true = (torch.from_numpy(mask.copy())[None, None] for mask in (prediction, truth))
    steps = list(spacing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 about calls of its own
        hd95 = compute_hausdorff_distance(found, true, True, percentile=95, spacing=steps)
        surface = compute_surface_dice(found, true, [tolerance], True, spacing=steps)
    return float(hd95), float(surface)
