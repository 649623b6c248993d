"""Losses of segmentation and classification, from logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]


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


def cross_entropy_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over samples and voxels of −log p(true class).

    Args:
        logits: (N, K, *spatial) of K classes, or (N, 1, *spatial) of foreground.
        truth: class indices (N, *spatial), int64; or 0 and 1, float, (N, 1, *spatial).

    Returns:
        A scalar, at least 0.
    """
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits, truth)
    return functional.cross_entropy(logits, truth)


def dice_cross_entropy_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return cross-entropy + (1 − mean soft Dice of the classes but background).

    The sum of nnU-Net (Isensee et al. 2021), with softmax and each class's Dice over the whole
    batch; one foreground channel has the sigmoid, as in `bce_dice_loss`.

    Args:
        logits: (N, K, *spatial), channel 0 the background, or (N, 1, *spatial).
        truth: class indices (N, *spatial), int64; or 0 and 1, float, (N, 1, *spatial).
        smooth: voxels added to numerator and denominator.

    Returns:
        A scalar, at least 0.
    """
    if logits.shape[1] == 1:
        return bce_dice_loss(logits, truth, smooth)
    probability = logits.softmax(1)
    wanted = torch.zeros_like(probability).scatter_(1, truth[:, None], 1.0)
    voxels = [axis for axis in range(logits.dim()) if axis != 1]
    overlap, total = (probability * wanted).sum(voxels), (probability + wanted).sum(voxels)
    soft_dice = (2 * overlap + smooth) / (total + smooth)
    return functional.cross_entropy(logits, truth) + 1 - soft_dice[1:].mean()


LOSSES: dict[str, Loss] = {
    "bce_dice": bce_dice_loss,
    "cross_entropy": cross_entropy_loss,
    "dice_cross_entropy": dice_cross_entropy_loss,
}


def choose_loss(
    name: str, outputs: int, kind: Literal["segmentation", "classification"] = "segmentation"
) -> Loss:
    """Return a loss of `LOSSES`, or for ``auto`` the usual one of the task.

    That is bce_dice for one output channel, dice_cross_entropy for several classes and
    cross_entropy where a whole image has a class.

    Raises:
        ConfigError: the loss is not one for this task.
    """
    usual = "bce_dice" if outputs == 1 else "dice_cross_entropy"
    fitting = [usual, *(loss for loss in ("cross_entropy", "dice_cross_entropy") if loss != usual)]
    if kind == "classification":
        fitting = ["cross_entropy"]
    if name != "auto" and name not in fitting:
        raise ConfigError(
            f"training.loss: must be auto or one of {', '.join(fitting)} for {kind} with "
            f"{outputs} output channel{'s' if outputs > 1 else ''}, got {name!r}."
        )
    return LOSSES[fitting[0] if name == "auto" else name]
