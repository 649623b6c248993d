"""Losses for segmentation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def bce_dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return binary cross-entropy + (1 − soft Dice), the loss of the spine study (seed 000).

    The soft Dice is taken over the whole batch, so that slices without foreground do not count
    as faults of their own; `smooth` keeps it defined where a batch has none.

    Args:
        logits: (N, 1, *spatial) before the sigmoid.
        truth: 0 or 1, float, of the same shape.
        smooth: pixels added to numerator and denominator.

    Returns:
        A scalar, at least 0.
    """
    probability = logits.sigmoid()
    overlap = (probability * truth).sum()
    soft_dice = (2 * overlap + smooth) / (probability.sum() + truth.sum() + smooth)
    return functional.binary_cross_entropy_with_logits(logits, truth) + 1 - soft_dice
