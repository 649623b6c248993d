"""Overlap of a predicted and a true mask, per case."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dice(prediction: Tensor, truth: Tensor) -> float:
    """Return the Dice coefficient 2·TP / (2·TP + FP + FN) of two masks, from 0 to 1.

    Args:
        prediction: bool, any shape: the voxels called foreground.
        truth: bool, the same shape.

    Returns:
        NaN if both masks are empty (the case is then left out of means and counted);
        0 if only the truth is empty.
    """
    true_positives = torch.count_nonzero(prediction & truth).item()
    total = torch.count_nonzero(prediction).item() + torch.count_nonzero(truth).item()
    return 2.0 * true_positives / total if total else math.nan


def mean_dice(cases: dict[str, float]) -> float:
    """Return the mean over the cases that have a Dice; NaN if none has."""
    known = [value for value in cases.values() if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
