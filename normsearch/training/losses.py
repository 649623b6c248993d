"""Losses of segmentation and classification, from logits.

All sums and means leave out voxels whose truth is `IGNORED` (255): their gradient is 0, and a batch
without other voxels has the loss 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.data.labels import IGNORED
from normsearch.errors import ConfigError
from normsearch.networks.importing import load

Loss = Callable[[Tensor, Tensor], Tensor]


def bce_dice_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return binary cross-entropy + (1 − soft Dice), the loss of the spine study (seed 000).

    The soft Dice is computed over the whole batch, so that single slices without foreground do not
    increase the loss; `smooth` keeps it defined if the batch has none.

    Args:
        logits: (N, 1, *spatial) before the sigmoid.
        truth: 0, 1 or `IGNORED`, float, of the same shape.
        smooth: pixels added to numerator and denominator.

    Returns:
        A scalar, at least 0.
    """
    known = _known(truth)
    probability = logits.sigmoid()
    if known is not None:
        probability, truth = probability * known, truth * known
    overlap = (probability * truth).sum()
    soft_dice = (2 * overlap + smooth) / (probability.sum() + truth.sum() + smooth)
    return _binary_cross_entropy(logits, truth, known) + 1 - soft_dice


def cross_entropy_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over samples and voxels of −log p(true class).

    Args:
        logits: (N, K, *spatial) of K classes, or (N, 1, *spatial) of foreground.
        truth: class indices (N, *spatial), int64; or 0 and 1, float, (N, 1, *spatial); voxels may
            be `IGNORED`.

    Returns:
        A scalar, at least 0.
    """
    known = _known(truth)
    if logits.shape[1] == 1:
        return _binary_cross_entropy(logits, truth, known)
    return _cross_entropy(logits, truth, known)


def dice_cross_entropy_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return cross-entropy + (1 − mean soft Dice of the classes except background).

    The loss of nnU-Net (Isensee et al. 2021), with softmax and each class's Dice over the whole
    batch; for one foreground channel it is `bce_dice_loss`.

    Args:
        logits: (N, K, *spatial), channel 0 the background, or (N, 1, *spatial).
        truth: as for `cross_entropy_loss`.
        smooth: voxels added to numerator and denominator.

    Returns:
        A scalar, at least 0.
    """
    if logits.shape[1] == 1:
        return bce_dice_loss(logits, truth, smooth)
    known = _known(truth)
    probability = logits.softmax(1)
    classes = truth if known is None else truth.masked_fill(~known, 0)
    wanted = torch.zeros_like(probability).scatter_(1, classes[:, None], 1.0)
    if known is not None:
        probability, wanted = probability * known[:, None], wanted * known[:, None]
    voxels = [axis for axis in range(logits.dim()) if axis != 1]
    overlap, total = (probability * wanted).sum(voxels), (probability + wanted).sum(voxels)
    soft_dice = (2 * overlap + smooth) / (total + smooth)
    return _cross_entropy(logits, truth, known) + 1 - soft_dice[1:].mean()


LOSSES: dict[str, Loss] = {
    "bce_dice": bce_dice_loss,
    "cross_entropy": cross_entropy_loss,
    "dice_cross_entropy": dice_cross_entropy_loss,
}


def choose_loss(
    name: str, outputs: int, kind: Literal["segmentation", "classification"] = "segmentation"
) -> Loss:
    """Return a loss of `LOSSES` or at ``module:name``, or for ``auto`` the default of the task.

    The default is bce_dice for one output channel, dice_cross_entropy for several classes and
    cross_entropy for classes of whole images. ``module:name`` is a function of logits and labels
    (as for `cross_entropy_loss`) that returns a scalar, or a class of such modules.

    Raises:
        ConfigError: the loss does not fit the task.
    """
    if ":" in name:
        return _users_loss(name)
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


def _users_loss(name: str) -> Loss:
    found = load(name, "training.loss")
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = found()
    if not callable(found):
        raise ConfigError(f"training.loss: must be a function of logits and truth, got {found!r}.")
    loss: Loss = found
    return loss


def _known(truth: Tensor) -> Tensor | None:
    """Return where voxels are not ignored; None if there can be no ignored ones, or there are none.

    On a GPU the result is a mask in any case, as checking its values would wait for the GPU.
    """
    if truth.dim() < 2:  # a whole image's class
        return None
    if truth.device.type == "cpu" and truth.max() < IGNORED:
        return None
    return truth != IGNORED


def _binary_cross_entropy(logits: Tensor, truth: Tensor, known: Tensor | None) -> Tensor:
    if known is None:
        return functional.binary_cross_entropy_with_logits(logits, truth)
    each = functional.binary_cross_entropy_with_logits(logits, truth * known, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def _cross_entropy(logits: Tensor, truth: Tensor, known: Tensor | None) -> Tensor:
    if known is None:
        return functional.cross_entropy(logits, truth)
    total = functional.cross_entropy(logits, truth, ignore_index=IGNORED, reduction="sum")
    return total / known.sum().clamp(min=1)
